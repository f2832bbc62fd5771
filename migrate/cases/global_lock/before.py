import threading
from concurrent.futures import ThreadPoolExecutor

lock = threading.Lock()
data = []


def work(n):
    with lock:
        data.append(n)


with ThreadPoolExecutor() as pool:
    list(pool.map(work, [1, 2]))
print(sorted(data))
