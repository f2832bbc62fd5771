import signal
from concurrent.futures import ThreadPoolExecutor


def ring(n):
    signal.alarm(0)
    return n


with ThreadPoolExecutor() as pool:
    print(list(pool.map(ring, [1, 2])))
