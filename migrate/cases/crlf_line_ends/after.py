# written on another system
from concurrent.futures import thread
from distexec import ThreadPoolExecutor


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:
    print(list(pool.map(square, [1, 2])), thread.__name__)
