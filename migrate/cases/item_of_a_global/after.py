from concurrent.futures import ThreadPoolExecutor

state = {"n": []}


def work(n):
    bucket = state["n"]
    bucket.append(n)


with ThreadPoolExecutor() as ex:
    list(ex.map(work, range(4)))
print(len(state["n"]))
