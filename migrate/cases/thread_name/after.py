import threading
from concurrent.futures import ThreadPoolExecutor


def name(n):
    return threading.current_thread().name.split("_")[0]


with ThreadPoolExecutor(thread_name_prefix="crew") as pool:
    print(set(pool.map(name, [1, 2])))
