from distexec import ThreadPoolExecutor


class Scaler:
    def __init__(self, factor):
        self.factor = factor

    def scale(self, n):
        return n * self.factor


with ThreadPoolExecutor() as pool:
    print(list(pool.map(Scaler(3).scale, [1, 2])))
