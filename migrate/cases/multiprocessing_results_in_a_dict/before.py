import multiprocessing as mp


def work(a):
    return a + 1


def main():
    pool = mp.Pool(2)
    jobs = {}
    for name in ("a", "bb"):
        jobs[name] = pool.apply_async(work, [len(name)])
    pool.close()
    for name, job in jobs.items():
        print(name, job.get(timeout=30))
    pool.join()


if __name__ == "__main__":
    main()
