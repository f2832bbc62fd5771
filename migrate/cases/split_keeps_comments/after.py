from concurrent.futures import (
    # pools
    # not ours
    thread,  # internals
)
from distexec import ThreadPoolExecutor


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:
    print(pool.submit(square, 3).result(), thread.__name__)
