from concurrent.futures import ThreadPoolExecutor
from email.parser import Parser


class Reader:
    def __init__(self):
        self.parser = Parser()

    def subject(self, text):
        return self.parser.parsestr(text)["subject"]


with ThreadPoolExecutor() as pool:
    print(list(pool.map(Reader().subject, ["subject: a", "subject: b"])))
