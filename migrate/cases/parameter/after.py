from distexec import ThreadPoolExecutor


def square(n):
    return n * n


def squares(numbers, executor):
    return list(executor.map(square, numbers))


with ThreadPoolExecutor() as pool:
    print(squares([1, 2], executor=pool))
