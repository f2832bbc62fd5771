from concurrent.futures import ThreadPoolExecutor

data = []


def work(n):
    data.append(n)


with ThreadPoolExecutor() as pool:
    list(pool.map(work, [1, 2]))  # distexec: ignore[DX501]
print(len(data))
