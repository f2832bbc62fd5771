from concurrent.futures import ThreadPoolExecutor

pools = {"io": ThreadPoolExecutor(2)}


def square(n):
    return n * n


print(pools["io"].submit(square, 3).result())
pools["io"].shutdown()
