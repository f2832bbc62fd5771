from concurrent.futures import ThreadPoolExecutor


class Bag:
    def __init__(self):
        self.items = []

    def add(self, n):
        self.items.append(n)


def work(bag, n):
    bag.add(n)


bag = Bag()
with ThreadPoolExecutor() as ex:
    fs = [ex.submit(work, bag, n) for n in range(3)]
    [f.result() for f in fs]
print(len(bag.items))
