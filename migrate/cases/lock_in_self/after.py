import threading
from concurrent.futures import ThreadPoolExecutor


class Safe:
    def __init__(self):
        self._lock = threading.RLock()

    def work(self, n):
        with self._lock:
            return n * n


with ThreadPoolExecutor() as pool:
    print(list(pool.map(Safe().work, [1, 2])))
