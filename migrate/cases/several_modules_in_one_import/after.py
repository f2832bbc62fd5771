import os, distexec, sys


def square(n):
    return n * n


with distexec.ThreadPoolExecutor() as pool:
    print(list(pool.map(square, [1, 2])))
print(bool(os.sep), bool(sys.path))
