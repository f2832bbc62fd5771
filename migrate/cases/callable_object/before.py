from concurrent.futures import ThreadPoolExecutor


class Counter:
    def __init__(self):
        self.n = 0

    def __call__(self, x):
        self.n += x
        return x


counter = Counter()
with ThreadPoolExecutor() as ex:
    list(ex.map(counter, range(4)))
print(counter.n)
