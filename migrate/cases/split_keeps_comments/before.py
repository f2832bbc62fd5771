from concurrent.futures import (
    # pools
    ThreadPoolExecutor,
    # not ours
    thread,  # internals
)


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:
    print(pool.submit(square, 3).result(), thread.__name__)
