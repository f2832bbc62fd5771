import threading
from concurrent.futures import ThreadPoolExecutor


def limited(numbers):
    slots = threading.Semaphore(2)

    def work(n):
        with slots:
            return n * n

    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, numbers))


print(limited([1, 2]))
