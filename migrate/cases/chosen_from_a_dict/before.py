from concurrent.futures import ThreadPoolExecutor

log = []


def a(n):
    log.append(n)


def b(n):
    return n


TABLE = {"a": a, "b": b}
with ThreadPoolExecutor() as ex:
    fs = [ex.submit(TABLE[k], 1) for k in "ab"]
    print([f.result() for f in fs], log)
