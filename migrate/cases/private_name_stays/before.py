from concurrent.futures import ThreadPoolExecutor, thread


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:
    print(pool.submit(square, 3).result(), thread.__name__)
