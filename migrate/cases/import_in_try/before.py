try:
    from concurrent.futures import ThreadPoolExecutor
except ImportError:
    ThreadPoolExecutor = None


def square(n):
    return n * n


if ThreadPoolExecutor is not None:
    with ThreadPoolExecutor() as pool:
        print(list(pool.map(square, [1, 2])))
