import itertools
from concurrent.futures import ThreadPoolExecutor

ids = itertools.count()


def work(n):
    return next(ids), n


with ThreadPoolExecutor() as ex:
    print(sorted(i for i, _ in ex.map(work, range(3))))
