from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:
    start = pool.submit
    print(start(square, 3).result())
