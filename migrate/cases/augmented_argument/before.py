from concurrent.futures import ThreadPoolExecutor


def extend(values, n):
    values += [n]


numbers = []
with ThreadPoolExecutor(max_workers=2) as pool:
    for future in [pool.submit(extend, numbers, n) for n in range(3)]:
        future.result()
print(len(numbers))
