from concurrent.futures import ThreadPoolExecutor

Pool = ThreadPoolExecutor
seen = []


def square(n):
    return n * n


with Pool() as first:
    print(list(first.map(square, [1, 2])))
with Pool() as second:
    list(second.map(seen.append, [1, 2]))
print(sorted(seen))
