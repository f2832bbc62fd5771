from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait


def work(n):
    return n * n


def main():
    results, pending = [], set()
    it = iter(range(10))
    with ThreadPoolExecutor(4) as ex:
        for n in it:
            pending.add(ex.submit(work, n))
            if len(pending) >= 3:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                results += [f.result() for f in done]
        done, _ = wait(pending)
        results += [f.result() for f in done]
    return sorted(results)


print(main())
