import distexec


def square(n):
    return n * n


pool = distexec.ThreadPoolExecutor(4)
results = list(pool.map(square, [1, 2, 3]))
pool.shutdown(wait=False)
pool.shutdown()
print(results)
