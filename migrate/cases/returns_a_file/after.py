import os
from concurrent.futures import ThreadPoolExecutor


def opened(path):
    return open(path)


with ThreadPoolExecutor() as pool:
    with pool.submit(opened, os.devnull).result() as file:
        print(file.read() == "")
