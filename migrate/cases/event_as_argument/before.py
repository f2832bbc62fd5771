import threading
from concurrent.futures import ThreadPoolExecutor


def wait_for(event):
    return event.wait(10)


ready = threading.Event()
with ThreadPoolExecutor() as pool:
    future = pool.submit(wait_for, ready)
    ready.set()
    print(future.result())
