from concurrent.futures import ThreadPoolExecutor


def put(d, k):
    d[k] = k


def work(d, k):
    put(d, k)


store = {}
with ThreadPoolExecutor() as ex:
    for k in range(3):
        ex.submit(work, store, k)
print(store)
