from distexec import ThreadPoolExecutor


def fill(row):
    row["sum"] = 3
    return row


with ThreadPoolExecutor() as pool:
    print(list(pool.map(fill, [{}, {}])))
