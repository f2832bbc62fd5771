import concurrent.futures as cf


def square(n):
    return n * n


with cf.ThreadPoolExecutor() as pool:
    print([f.result() for f in [pool.submit(square, 3), pool.submit(square, n=4)]])
