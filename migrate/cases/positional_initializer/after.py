from multiprocessing import Pool

names = []


def prepare(name):
    names.append(name)


def count(n):
    return n + len(names)


if __name__ == "__main__":
    with Pool(2, prepare, ("x",)) as pool:
        print(pool.map(count, [1, 2]))
