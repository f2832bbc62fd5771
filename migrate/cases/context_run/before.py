import contextvars
from concurrent.futures import ThreadPoolExecutor

user = contextvars.ContextVar("user", default="nobody")


def who():
    return user.get()


user.set("me")
context = contextvars.copy_context()
with ThreadPoolExecutor() as pool:
    print(pool.submit(context.run, who).result())
