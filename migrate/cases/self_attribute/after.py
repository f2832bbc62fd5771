from concurrent.futures import ThreadPoolExecutor


class Counter:
    def __init__(self):
        self.total = 0

    def add(self, n):
        self.total += n

    def run(self, numbers):
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.add, numbers))
        return self.total


print(Counter().run([1, 2]))
