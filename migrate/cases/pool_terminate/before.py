from multiprocessing.pool import ThreadPool


def square(n):
    return n * n


pool = ThreadPool(2)
print(pool.map(square, [1, 2]))
pool.terminate()
