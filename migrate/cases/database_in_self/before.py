import sqlite3
from concurrent.futures import ThreadPoolExecutor


class Store:
    def __init__(self):
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)

    def answer(self, n):
        return self.connection.execute("select ?", (n,)).fetchone()[0]


store = Store()
with ThreadPoolExecutor(2) as pool:
    print(list(pool.map(store.answer, [1, 2])))
store.connection.close()
