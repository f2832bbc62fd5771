import contextvars
from concurrent.futures import ThreadPoolExecutor

user = contextvars.ContextVar("user", default="nobody")


def who():
    return user.get()


with ThreadPoolExecutor() as pool:
    print(pool.submit(who).result())
