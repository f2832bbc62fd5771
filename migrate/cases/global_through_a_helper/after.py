from concurrent.futures import ThreadPoolExecutor

LOG = []


def note(text):
    LOG.append(text)


def step(n):
    note(f"step {n}")
    return n


with ThreadPoolExecutor() as pool:
    print(list(pool.map(step, [1, 2])))
print(len(LOG))
