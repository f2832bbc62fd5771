from concurrent.futures import ThreadPoolExecutor


class T:
    def __init__(self):
        self.n = 0

    def one(self):
        self.n += 1

    def run(self):
        with ThreadPoolExecutor() as ex:
            for name in ("one", "one"):
                ex.submit(getattr(self, name)).result()
        return self.n


print(T().run())
