from distexec import ThreadPoolExecutor


def square(n):
    return n * n


if __name__ == "__main__":
    with ThreadPoolExecutor() as pool:
        print(list(pool.map(square, [1, 2])))
