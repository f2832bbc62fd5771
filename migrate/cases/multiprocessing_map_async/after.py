import distexec


def work(a):
    return a + 1


pool = distexec.ThreadPoolExecutor(2)
r = pool.map(work, [1, 2], chunksize=1)
print("meanwhile")
print(list(r))
print(list(pool.map(work, [3])))
pool.shutdown(wait=False)
pool.shutdown()
