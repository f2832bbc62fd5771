from multiprocessing import Pool


def work(a):
    return a + 1


def finish(r):
    return r.get()


if __name__ == "__main__":
    with Pool(2) as pool:
        print(finish(pool.apply_async(work, (1,))))
