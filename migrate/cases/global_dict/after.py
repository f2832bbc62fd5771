from concurrent.futures import ThreadPoolExecutor

RESULTS = {}


def work(n):
    RESULTS[n] = n * n


with ThreadPoolExecutor() as pool:
    list(pool.map(work, [1, 2]))
print(sorted(RESULTS.items()))
