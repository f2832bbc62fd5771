import multiprocessing as mp
import distexec
import sys


def square(n):
    return n * n


if __name__ == "__main__":
    pool = distexec.ProcessPoolExecutor(2)
    print(sorted(pool.map(square, range(4), chunksize=2)))
    print(pool.submit(square, 5).result(), mp.cpu_count() > 0, bool(sys.path))
    pool.shutdown(wait=False)
    pool.shutdown()
