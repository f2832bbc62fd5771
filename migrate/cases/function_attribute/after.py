from concurrent.futures import ThreadPoolExecutor


def work(n):
    work.calls += 1
    return n * 2


work.calls = 0
with ThreadPoolExecutor() as ex:
    print(list(ex.map(work, range(5))))
print(work.calls)
