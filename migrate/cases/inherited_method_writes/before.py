from concurrent.futures import ThreadPoolExecutor


class Base:
    def note(self, n):
        self.seen.append(n)


class Child(Base):
    def __init__(self):
        self.seen = []

    def run(self):
        with ThreadPoolExecutor() as ex:
            list(ex.map(self.work, range(3)))
        return self.seen

    def work(self, n):
        self.note(n)
        return n


print(sorted(Child().run()))
