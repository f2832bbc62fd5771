from concurrent.futures import ThreadPoolExecutor

gpu = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gpu")


def square(n):
    return n * n


print(gpu.submit(square, 3).result())
gpu.shutdown()
