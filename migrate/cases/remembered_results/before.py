from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache


@lru_cache(None)
def square(n):
    return n * n


with ThreadPoolExecutor() as ex:
    print(list(ex.map(square, [1, 2, 1])))
print(square.cache_info().currsize)
