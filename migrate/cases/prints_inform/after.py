from distexec import ThreadPoolExecutor


def hello(n):
    print("hello")
    return n


with ThreadPoolExecutor() as pool:
    print(pool.submit(hello, 3).result())
