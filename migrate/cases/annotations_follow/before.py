from concurrent.futures import Future, ThreadPoolExecutor


def square(n: int) -> int:
    return n * n


def start(pool: ThreadPoolExecutor, n: int) -> "Future[int]":
    return pool.submit(square, n)


with ThreadPoolExecutor() as pool:
    print(start(pool, 3).result())
