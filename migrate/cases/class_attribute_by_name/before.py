from concurrent.futures import ThreadPoolExecutor


class State:
    count = 0


def work(n):
    State.count += n


with ThreadPoolExecutor() as pool:
    list(pool.map(work, [1, 2]))
print(State.count)
