from concurrent.futures import ThreadPoolExecutor


class Counting(ThreadPoolExecutor):
    count = 0

    def submit(self, fn, /, *args, **kwargs):
        self.count += 1
        return super().submit(fn, *args, **kwargs)


def square(n):
    return n * n


with Counting() as pool:
    print(pool.submit(square, 3).result(), pool.count)
