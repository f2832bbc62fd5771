from concurrent.futures import ThreadPoolExecutor


class Service:
    def __init__(self):
        self._executor = ThreadPoolExecutor(max_workers=2)

    def work(self, n):
        return n * n

    def run(self, numbers):
        return [f.result() for f in [self._executor.submit(self.work, n) for n in numbers]]

    def close(self):
        self._executor.shutdown()


service = Service()
print(service.run([1, 2]))
service.close()
