import os
from concurrent.futures import ThreadPoolExecutor


def set_mode(mode):
    os.environ["MODE"] = mode


with ThreadPoolExecutor() as pool:
    pool.submit(set_mode, "fast").result()
print(os.environ["MODE"])
