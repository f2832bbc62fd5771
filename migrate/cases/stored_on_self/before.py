from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


class Squares:
    def __init__(self):
        self._pool = ThreadPoolExecutor(max_workers=3)

    def all(self, numbers):
        return list(self._pool.map(square, numbers))

    def close(self):
        self._pool.shutdown()


squares = Squares()
print(squares.all([1, 2, 3]))
squares.close()
