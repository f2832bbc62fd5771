from concurrent.futures import ThreadPoolExecutor


def scaled(numbers, factor):
    def scale(n):
        return n * factor

    with ThreadPoolExecutor() as pool:
        return list(pool.map(scale, numbers))


print(scaled([1, 2], 10))
