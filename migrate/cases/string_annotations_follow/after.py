import distexec


def square(n: int) -> int:
    return n * n


def start(pool: "distexec.ThreadPoolExecutor", n: int) -> "distexec.Future[int]":
    return pool.submit(square, n)


with distexec.ThreadPoolExecutor() as pool:
    print(start(pool, 3).result())
