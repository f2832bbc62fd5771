import os
from concurrent.futures import ThreadPoolExecutor


def enter(folder):
    os.chdir(folder)


with ThreadPoolExecutor() as pool:
    pool.submit(enter, os.sep).result()
print(os.getcwd() == os.sep)
