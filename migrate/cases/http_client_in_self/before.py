import http.client
from concurrent.futures import ThreadPoolExecutor


class Api:
    def __init__(self):
        self.client = http.client.HTTPSConnection("localhost")

    def name(self, n):
        return f"{self.client.host}{n}"


with ThreadPoolExecutor() as pool:
    print(list(pool.map(Api().name, [1, 2])))
