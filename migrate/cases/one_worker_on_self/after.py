from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


class Device:
    def __init__(self):
        self.thread = ThreadPoolExecutor(1)

    def run(self, n):
        return self.thread.submit(square, n).result()


device = Device()
print(device.run(3))
device.thread.shutdown()
