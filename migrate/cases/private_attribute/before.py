from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


with ThreadPoolExecutor(max_workers=3) as pool:
    print(pool._max_workers, list(pool.map(square, [1])))
