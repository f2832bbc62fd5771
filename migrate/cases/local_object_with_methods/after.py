from distexec import ThreadPoolExecutor


class Acc:
    def __init__(self):
        self.items = []

    def add(self, x):
        self.items.append(x)
        return self


def work(n):
    acc = Acc()
    for i in range(n):
        acc.add(i)
    return len(acc.items)


with ThreadPoolExecutor() as ex:
    print(list(ex.map(work, range(4))))
