import multiprocessing
from concurrent.futures import ProcessPoolExecutor


def work(n, out):
    out.append(n)


if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        out = manager.list()
        with ProcessPoolExecutor(2) as pool:
            for n in range(2):
                pool.submit(work, n, out)
        print(sorted(out))
