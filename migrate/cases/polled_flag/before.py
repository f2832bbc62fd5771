from concurrent.futures import ThreadPoolExecutor


class Ticker:
    def __init__(self):
        self.stopped = False
        self.limit = 10_000_000

    def run(self):
        ticks = 0
        while not self.stopped and ticks < self.limit:
            ticks += 1
        return self.stopped

    def stop(self):
        self.stopped = True


ticker = Ticker()
with ThreadPoolExecutor() as pool:
    future = pool.submit(ticker.run)
    ticker.stop()
    print(future.result())
