def square(n):
    return n * n


def main():
    from distexec import ThreadPoolExecutor  # slow to import

    with ThreadPoolExecutor() as pool:
        print(list(pool.map(square, [1, 2])))


main()
