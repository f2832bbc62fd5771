from concurrent.futures import ThreadPoolExecutor


def make_pool(n):
    return ThreadPoolExecutor(max_workers=n)


def square(n):
    return n * n


with make_pool(2) as pool:
    print(list(pool.map(square, [1, 2])))
