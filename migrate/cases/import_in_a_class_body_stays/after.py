class Tool:
    from concurrent.futures import ThreadPoolExecutor

    seen = []

    def run(self, xs):
        def bad(x):
            self.seen.append(x)

        with self.ThreadPoolExecutor(2) as ex:
            list(ex.map(bad, xs))
        with self.ThreadPoolExecutor(2) as ex:
            return list(ex.map(abs, xs))


print(Tool().run([-1]))
