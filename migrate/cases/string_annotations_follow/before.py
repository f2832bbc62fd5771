import concurrent.futures


def square(n: int) -> int:
    return n * n


def start(pool: "concurrent.futures.ThreadPoolExecutor", n: int) -> "concurrent.futures.Future[int]":
    return pool.submit(square, n)


with concurrent.futures.ThreadPoolExecutor() as pool:
    print(start(pool, 3).result())
