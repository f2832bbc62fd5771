import concurrent.futures

Pool = concurrent.futures.ThreadPoolExecutor


def square(n):
    return n * n


with Pool() as pool:
    print(list(pool.map(square, [1, 2])))
