from concurrent.futures import ThreadPoolExecutor


class Job:
    def __init__(self):
        self.status = "new"

    def run(self):
        def work():
            self.status = "done"

        with ThreadPoolExecutor() as pool:
            pool.submit(work).result()
        return self.status


print(Job().run())
