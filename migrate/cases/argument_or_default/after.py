from concurrent.futures import ThreadPoolExecutor


def work(d=None):
    d = d or {}
    d["k"] = 1
    return len(d)


shared = {"a": 1}
with ThreadPoolExecutor() as ex:
    print(ex.submit(work, shared).result(), shared)
