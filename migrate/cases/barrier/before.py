import threading
from concurrent.futures import ThreadPoolExecutor

barrier = threading.Barrier(2)


def meet(n):
    barrier.wait(10)
    return n


with ThreadPoolExecutor(2) as pool:
    print(sorted(pool.map(meet, [1, 2])))
