from distexec import ThreadPoolExecutor as Threads


def square(n):
    return n * n


with Threads(2) as pool:
    print(pool.submit(square, 7).result())
