from multiprocessing.pool import ThreadPool


def work(a):
    return a + 1


pool = ThreadPool(2)
r = pool.map_async(work, [1, 2], 1)
print("meanwhile")
print(r.get())
print(pool.map_async(work, [3]).get())
pool.close()
pool.join()
