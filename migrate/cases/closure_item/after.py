from concurrent.futures import ThreadPoolExecutor


def squares(numbers):
    results = {}

    def work(n):
        results[n] = n * n

    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(work, n) for n in numbers]
    for future in futures:
        future.result()
    return sorted(results.items())


print(squares([1, 2]))
