from concurrent.futures import ThreadPoolExecutor
from string import Formatter


class Shout(Formatter):
    def shout(self, text):
        return text.upper()


with ThreadPoolExecutor() as pool:
    print(list(pool.map(Shout().shout, ["a"])))
