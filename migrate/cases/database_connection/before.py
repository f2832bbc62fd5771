import sqlite3
from concurrent.futures import ThreadPoolExecutor

connection = sqlite3.connect(":memory:", check_same_thread=False)


def answer(sql, connection):
    return connection.execute(sql).fetchone()


with ThreadPoolExecutor(2) as pool:
    print(pool.submit(answer, "select 42", connection).result())
connection.close()
