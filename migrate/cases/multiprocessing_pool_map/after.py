import distexec


def square(n):
    return n * n


if __name__ == "__main__":
    with distexec.ProcessPoolExecutor(max_workers=2) as p:
        print(list(p.map(square, [1, 2, 3], chunksize=2)))
