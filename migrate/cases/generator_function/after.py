from concurrent.futures import ThreadPoolExecutor


def count(n):
    yield from range(n)


with ThreadPoolExecutor() as pool:
    print([list(g) for g in pool.map(count, [1, 2])])
