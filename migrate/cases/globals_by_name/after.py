from concurrent.futures import ThreadPoolExecutor


def work(n):
    globals()["last"] = n


last = None
with ThreadPoolExecutor() as ex:
    list(ex.map(work, range(5)))
print(last)
