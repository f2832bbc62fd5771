import threading
from concurrent.futures import ThreadPoolExecutor


def work(n):
    lock = threading.Lock()

    def inner():
        with lock:
            return n

    return inner()


with ThreadPoolExecutor() as ex:
    print(list(ex.map(work, range(4))))
