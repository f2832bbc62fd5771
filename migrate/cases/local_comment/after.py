from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:  # distexec: local
    print(list(pool.map(square, [1, 2])))
