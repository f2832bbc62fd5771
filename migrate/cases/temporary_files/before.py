import os
import tempfile
from concurrent.futures import ThreadPoolExecutor


def scratch(n):
    with tempfile.TemporaryDirectory() as folder:
        return bool(os.path.basename(folder))


with ThreadPoolExecutor() as pool:
    print(list(pool.map(scratch, [1, 2])))
