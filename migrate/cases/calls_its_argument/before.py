from concurrent.futures import ThreadPoolExecutor

seen = []
jobs = [lambda: seen.append(1), lambda: seen.append(2)]
with ThreadPoolExecutor() as pool:
    list(pool.map(lambda job: job(), jobs))
print(sorted(seen))
