import sys
from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


pool = ThreadPoolExecutor(2) if len(sys.argv) < 99 else None
if pool is not None:
    print(list(pool.map(square, [1, 2])))
    pool.shutdown(wait=True)
