from concurrent.futures import ThreadPoolExecutor


def walk(pool, n):
    if n:
        return 1 + pool.submit(walk, pool, n - 1).result()
    return 0


with ThreadPoolExecutor(8) as pool:
    print(pool.submit(walk, pool, 3).result())
