import threading
from distexec import ThreadPoolExecutor


class Shared:
    def __init__(self, n):
        self.n, self.lock = n, None
        self.guard = threading.Lock()

    def __getstate__(self):
        return {"n": self.n}

    def value(self):
        return self.n


with ThreadPoolExecutor() as pool:
    print(pool.submit(Shared(3).value).result())
