from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


def squares(numbers, pool_class=ThreadPoolExecutor):
    with pool_class() as pool:
        return list(pool.map(square, numbers))


print(squares([1, 2]))
