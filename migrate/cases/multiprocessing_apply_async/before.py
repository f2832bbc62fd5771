from multiprocessing import Pool


def work(a, b=1):
    return a * b


if __name__ == "__main__":
    results = []
    with Pool(2) as pool:
        for i in range(3):
            results.append(pool.apply_async(work, args=(i,), kwds={"b": 3}))
        out = [r.get() for r in results]
    print(out)
