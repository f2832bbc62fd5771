import concurrent.futures


def square(n):
    return n * n


with getattr(concurrent.futures, "ThreadPoolExecutor")() as pool:
    print(list(pool.map(square, [1, 2])))
