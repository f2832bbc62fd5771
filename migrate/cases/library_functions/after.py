import math
from distexec import ThreadPoolExecutor
from time import sleep

with ThreadPoolExecutor() as pool:
    print(list(pool.map(math.factorial, [1, 2, 3])), pool.submit(pow, 2, 5).result())
    pool.submit(sleep, 0).result()
