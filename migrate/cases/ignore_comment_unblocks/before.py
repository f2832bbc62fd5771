from concurrent.futures import ThreadPoolExecutor

cache = {}


def square(n):
    cache[n] = n * n  # distexec: ignore[DX102]
    return n * n


with ThreadPoolExecutor() as pool:
    print(list(pool.map(square, [1, 2])))
