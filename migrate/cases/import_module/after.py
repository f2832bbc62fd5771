import distexec


def square(n):
    return n * n


with distexec.ThreadPoolExecutor(max_workers=2) as pool:
    futures = [pool.submit(square, n) for n in range(4)]
    for future in distexec.as_completed(futures):
        future.result()
    print([future.result() for future in futures])
