from concurrent.futures import ThreadPoolExecutor

seen = []
distexec = "something else"


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:
    print(list(pool.map(square, [1, 2])), distexec)
with ThreadPoolExecutor() as local_pool:
    list(local_pool.map(seen.append, [1, 2]))
print(sorted(seen))
