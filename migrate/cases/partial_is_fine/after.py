import functools
from distexec import ThreadPoolExecutor


def power(base, exponent):
    return base**exponent


with ThreadPoolExecutor() as pool:
    print(list(pool.map(functools.partial(power, 2), [1, 2, 3])))
