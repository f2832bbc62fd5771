import threading
from concurrent.futures import ThreadPoolExecutor


def make(n):
    return threading.Lock()


with ThreadPoolExecutor() as pool:
    print([lock.locked() for lock in pool.map(make, [1])])
