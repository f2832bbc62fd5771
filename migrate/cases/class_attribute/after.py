from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


class Runner:
    pool_class = ThreadPoolExecutor

    def run(self, numbers):
        with self.pool_class() as pool:
            return list(pool.map(square, numbers))


print(Runner().run([1, 2]))
