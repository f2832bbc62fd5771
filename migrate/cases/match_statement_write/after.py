from concurrent.futures import ThreadPoolExecutor

state = {}


def work(cmd):
    match cmd:
        case ("set", k, v):
            state[k] = v
        case _:
            pass


with ThreadPoolExecutor() as ex:
    list(ex.map(work, [("set", 1, 2)]))
print(state)
