from concurrent.futures import ThreadPoolExecutor


def fill(row):
    row["sum"] = row["a"] + row["b"]


rows = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
with ThreadPoolExecutor() as pool:
    list(pool.map(fill, rows))
print([row["sum"] for row in rows])
