import threading
from concurrent.futures import ThreadPoolExecutor


class State(threading.local):
    depth = 0


state = State()


def depth(n):
    return state.depth + n


with ThreadPoolExecutor() as pool:
    print(list(pool.map(depth, [1, 2])))
