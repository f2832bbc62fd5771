import distexec


def square(n):
    return n * n


pool = distexec.ThreadPoolExecutor(2)
print(list(pool.map(square, [1, 2])))
pool.shutdown(wait=False, cancel_futures=True)
