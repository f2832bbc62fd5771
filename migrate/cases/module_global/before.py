from concurrent.futures import ThreadPoolExecutor

POOL = ThreadPoolExecutor(max_workers=3)


def square(n):
    return n * n


def squares(numbers):
    return [POOL.submit(square, n) for n in numbers]


print([future.result() for future in squares([1, 2])])
POOL.shutdown()
