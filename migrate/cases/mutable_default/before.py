from concurrent.futures import ThreadPoolExecutor


def collect(n, acc=[]):
    acc.append(n)
    return len(acc)


with ThreadPoolExecutor() as ex:
    list(ex.map(collect, range(5)))
print(collect.__defaults__)
