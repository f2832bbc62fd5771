from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


def kind(pool):
    return "threads" if isinstance(pool, ThreadPoolExecutor) else "other"


with ThreadPoolExecutor() as pool:
    print(kind(pool), pool.submit(square, 3).result())
