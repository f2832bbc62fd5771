import threading
from concurrent.futures import ThreadPoolExecutor

local = threading.local()


def work(n):
    local.n = n
    return local.n


with ThreadPoolExecutor() as pool:
    print(list(pool.map(work, [1, 2])))
