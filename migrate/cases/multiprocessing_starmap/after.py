import distexec


def add(a, b):
    return a + b


if __name__ == "__main__":
    with distexec.ProcessPoolExecutor(2) as pool:
        print([call.result() for call in [pool.submit(add, *args) for args in [(1, 2), (3, 4)]]])
