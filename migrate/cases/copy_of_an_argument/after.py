from distexec import ThreadPoolExecutor


def work(row):
    row = dict(row)
    row["x"] = 1
    return row


rows = [{"a": 1}, {"b": 2}]
with ThreadPoolExecutor() as ex:
    print(list(ex.map(work, rows)))
print(rows)
