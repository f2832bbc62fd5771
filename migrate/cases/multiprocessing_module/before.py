import multiprocessing


def square(n):
    return n * n


if __name__ == "__main__":
    with multiprocessing.Pool(2) as p:
        for result in p.imap(square, [1, 2, 3]):
            print(result)
