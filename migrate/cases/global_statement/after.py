from concurrent.futures import ThreadPoolExecutor

count = 0


def work(n):
    global count
    count += n


with ThreadPoolExecutor(max_workers=2) as pool:
    list(pool.map(work, [1, 2]))
print(count)
