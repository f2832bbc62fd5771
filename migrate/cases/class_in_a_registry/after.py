from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

POOLS = {"thread": ThreadPoolExecutor, "process": ProcessPoolExecutor}


def square(n):
    return n * n


with POOLS["thread"]() as pool:
    print(list(pool.map(square, [1, 2])))
