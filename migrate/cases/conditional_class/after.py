import sys
from distexec import ProcessPoolExecutor, ThreadPoolExecutor


def square(n):
    return n * n


def main():
    Pool = ProcessPoolExecutor if len(sys.argv) > 99 else ThreadPoolExecutor
    with Pool(max_workers=2) as pool:
        print(list(pool.map(square, [1, 2])))


if __name__ == "__main__":
    main()
