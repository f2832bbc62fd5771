from concurrent.futures import ThreadPoolExecutor


class Registry:
    items = {}

    def add(self, name):
        self.items[name] = len(name)


registry = Registry()
with ThreadPoolExecutor() as pool:
    list(pool.map(registry.add, ["a", "bb"]))
print(sorted(Registry.items))
