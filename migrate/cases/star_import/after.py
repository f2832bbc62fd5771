from distexec import *


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:
    print([f.result() for f in as_completed([pool.submit(square, 3)])])
