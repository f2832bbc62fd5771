import distexec


def work(a, b=1):
    return a * b


if __name__ == "__main__":
    results = []
    with distexec.ProcessPoolExecutor(2) as pool:
        for i in range(3):
            results.append(pool.submit(work, i, **{"b": 3}))
        out = [r.result() for r in results]
    print(out)
