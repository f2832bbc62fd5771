from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


with ThreadPoolExecutor(max_workers=1) as pool:
    print(pool.submit(square, 3).result())
