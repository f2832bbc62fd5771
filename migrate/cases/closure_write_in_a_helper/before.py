from concurrent.futures import ThreadPoolExecutor


def main():
    total = 0

    def add(n):
        nonlocal total
        total += n

    def work(n):
        add(n * 2)

    with ThreadPoolExecutor() as ex:
        list(ex.map(work, range(4)))
    return total


print(main())
