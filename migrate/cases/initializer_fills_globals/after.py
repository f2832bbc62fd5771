from concurrent.futures import ProcessPoolExecutor

table = None


def prepare(n):
    global table
    table = list(range(n))


def look(i):
    return table[i]


if __name__ == "__main__":
    with ProcessPoolExecutor(2, initializer=prepare, initargs=(5,)) as pool:
        print(list(pool.map(look, [1, 2])))
