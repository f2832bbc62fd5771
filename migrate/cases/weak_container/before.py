import weakref
from concurrent.futures import ThreadPoolExecutor


class A:
    pass


def work(cache, k):
    return k in cache


cache = weakref.WeakValueDictionary()
with ThreadPoolExecutor() as ex:
    print(ex.submit(work, cache, 1).result())
