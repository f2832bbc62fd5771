import contextlib
from distexec import ThreadPoolExecutor


def square(n):
    return n * n


with contextlib.ExitStack() as stack:
    pool = stack.enter_context(ThreadPoolExecutor())
    print(list(pool.map(square, [1, 2])))
