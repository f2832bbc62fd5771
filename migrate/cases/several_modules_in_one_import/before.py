import os, concurrent.futures, sys


def square(n):
    return n * n


with concurrent.futures.ThreadPoolExecutor() as pool:
    print(list(pool.map(square, [1, 2])))
print(bool(os.sep), bool(sys.path))
