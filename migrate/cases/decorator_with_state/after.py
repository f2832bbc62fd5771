import functools
import threading
from concurrent.futures import ThreadPoolExecutor

lock = threading.Lock()
stats = {"calls": 0}


def counted(fn):
    @functools.wraps(fn)
    def inner(*args):
        with lock:
            stats["calls"] += 1
        return fn(*args)

    return inner


@counted
def square(n):
    return n * n


with ThreadPoolExecutor() as ex:
    print(list(ex.map(square, range(4))))
print(stats["calls"])
