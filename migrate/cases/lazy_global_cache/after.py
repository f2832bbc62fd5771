from concurrent.futures import ThreadPoolExecutor

_table = None


def table():
    global _table
    if _table is None:
        _table = [n * n for n in range(10)]
    return _table


def look(n):
    return table()[n]


with ThreadPoolExecutor() as pool:
    print(list(pool.map(look, [1, 2])))
