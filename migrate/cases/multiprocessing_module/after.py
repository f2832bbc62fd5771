import distexec


def square(n):
    return n * n


if __name__ == "__main__":
    with distexec.ProcessPoolExecutor(2) as p:
        for result in p.map(square, [1, 2, 3]):
            print(result)
