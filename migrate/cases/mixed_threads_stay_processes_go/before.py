from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed

seen = []


def square(n):
    return n * n


def note(n):
    seen.append(n)


def main():
    with ProcessPoolExecutor(2) as pool:
        print(sorted(f.result() for f in as_completed([pool.submit(square, n) for n in range(3)])))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(note, [1, 2]))
    print(sorted(seen))


if __name__ == "__main__":
    main()
