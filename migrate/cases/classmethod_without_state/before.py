from concurrent.futures import ThreadPoolExecutor


class Parser:
    @classmethod
    def parse(cls, text):
        return int(text)

    @staticmethod
    def clean(text):
        return text.strip()


with ThreadPoolExecutor() as pool:
    print(list(pool.map(Parser.parse, ["1", "2"])), list(pool.map(Parser.clean, [" a "])))
