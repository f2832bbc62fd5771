import distexec


def work(a):
    return a + 1


def main():
    pool = distexec.ProcessPoolExecutor(2)
    jobs = {}
    for name in ("a", "bb"):
        jobs[name] = pool.submit(work, len(name))
    pool.shutdown(wait=False)
    for name, job in jobs.items():
        print(name, job.result(timeout=30))
    pool.shutdown()


if __name__ == "__main__":
    main()
