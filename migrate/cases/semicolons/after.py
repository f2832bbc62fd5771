import sys; from distexec import ThreadPoolExecutor; import os


def square(n): return n * n


with ThreadPoolExecutor() as pool: print(list(pool.map(square, [1, 2])))
