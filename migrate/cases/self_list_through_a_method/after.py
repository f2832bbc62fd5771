from concurrent.futures import ThreadPoolExecutor


class Crawler:
    def __init__(self):
        self.pages = []

    def _store(self, page):
        self.pages.append(page)

    def fetch(self, url):
        self._store(url.upper())

    def run(self, urls):
        with ThreadPoolExecutor() as pool:
            futures = [pool.submit(self.fetch, url) for url in urls]
        for future in futures:
            future.result()
        return sorted(self.pages)


print(Crawler().run(["a", "b"]))
