from multiprocessing import Pool


def work(a):
    return a + 1


if __name__ == "__main__":
    out = []
    with Pool(2) as pool:
        r = pool.apply_async(work, (1,), callback=out.append)
        r.wait()
    print(out)
