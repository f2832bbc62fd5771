from multiprocessing.pool import ThreadPool


def square(n):
    return n * n


pool = ThreadPool(4)
results = pool.map(square, [1, 2, 3])
pool.close()
pool.join()
print(results)
