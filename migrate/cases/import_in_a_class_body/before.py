class Tool:
    from concurrent.futures import ThreadPoolExecutor, as_completed

    def run(self, xs):
        with self.ThreadPoolExecutor(2) as ex:
            return sorted(f.result() for f in Tool.as_completed([ex.submit(abs, x) for x in xs]))


print(Tool().run([-1]))
