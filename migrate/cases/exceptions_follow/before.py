import concurrent.futures


def fail(n):
    raise ValueError(n)


with concurrent.futures.ThreadPoolExecutor() as pool:
    future = pool.submit(fail, 3)
    try:
        future.result(timeout=60)
    except concurrent.futures.TimeoutError:
        print("late")
    except ValueError as error:
        print("failed", error)
