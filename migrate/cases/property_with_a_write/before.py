from concurrent.futures import ThreadPoolExecutor


class Meter:
    def __init__(self):
        self.count = 0

    @property
    def next(self):
        self.count += 1
        return self.count

    def read(self, n):
        return self.next > 0


meter = Meter()
with ThreadPoolExecutor() as pool:
    print(list(pool.map(meter.read, [1, 2])), meter.count)
