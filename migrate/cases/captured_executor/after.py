from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(4)


def inner(n):
    return n * n


def outer(n):
    return pool.submit(inner, n).result()


print(pool.submit(outer, 3).result())
pool.shutdown()
