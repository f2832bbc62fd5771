from concurrent.futures import ThreadPoolExecutor


class Service:
    def __init__(self):
        self.pool = ThreadPoolExecutor(max_workers=2)
        self.factor = 3

    def run(self, n):
        return self.pool.submit(lambda: n * self.factor).result()


service = Service()
print(service.run(2))
service.pool.shutdown()
