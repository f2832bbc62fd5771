from distexec import ThreadPoolExecutor


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:
    print(pool.submit(square, 3).result())
