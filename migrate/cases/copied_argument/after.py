from distexec import ThreadPoolExecutor


def extended(items):
    items = list(items)
    items.append(0)
    return items


data = [[1], [2]]
with ThreadPoolExecutor() as pool:
    print(list(pool.map(extended, data)))
print(data)
