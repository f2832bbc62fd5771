import concurrent.futures


def square(n):
    return n * n


with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
    futures = [pool.submit(square, n) for n in range(4)]
    for future in concurrent.futures.as_completed(futures):
        future.result()
    print([future.result() for future in futures])
