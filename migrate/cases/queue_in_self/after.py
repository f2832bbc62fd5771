import queue
from concurrent.futures import ThreadPoolExecutor


class Producer:
    def __init__(self):
        self.out = queue.Queue()

    def work(self, n):
        self.out.put(n)


producer = Producer()
with ThreadPoolExecutor() as pool:
    for n in range(2):
        pool.submit(producer.work, n)
print(producer.out.qsize())
