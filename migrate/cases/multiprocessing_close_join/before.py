import multiprocessing as mp
import sys


def square(n):
    return n * n


if __name__ == "__main__":
    pool = mp.Pool(2)
    print(sorted(pool.imap_unordered(square, range(4), chunksize=2)))
    print(pool.apply(square, (5,)), mp.cpu_count() > 0, bool(sys.path))
    pool.close()
    pool.join()
