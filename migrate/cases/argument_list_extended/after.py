from concurrent.futures import ThreadPoolExecutor


def collect(n, into):
    into.append(n)


found = []
with ThreadPoolExecutor() as pool:
    for n in range(3):
        pool.submit(collect, n, found)
print(sorted(found))
