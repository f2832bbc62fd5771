import os
from concurrent.futures import ThreadPoolExecutor


def same(pid):
    return os.getpid() == pid


with ThreadPoolExecutor() as pool:
    print(pool.submit(same, os.getpid()).result())
