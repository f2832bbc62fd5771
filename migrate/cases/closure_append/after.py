from concurrent.futures import ThreadPoolExecutor


def squares(numbers):
    results = []

    def work(n):
        results.append(n * n)

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, numbers))
    return sorted(results)


print(squares([1, 2]))
