import functools
from concurrent.futures import ThreadPoolExecutor


def retry(times):
    def wrap(fn):
        @functools.wraps(fn)
        def inner(*a, **k):
            for i in range(times):
                try:
                    return fn(*a, **k)
                except ValueError:
                    if i == times - 1:
                        raise

        return inner

    return wrap


@retry(3)
def work(n):
    return n


with ThreadPoolExecutor() as ex:
    print(list(ex.map(work, range(3))))
