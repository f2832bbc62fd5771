import distexec


def fail(n):
    raise ValueError(n)


with distexec.ThreadPoolExecutor() as pool:
    future = pool.submit(fail, 3)
    try:
        future.result(timeout=60)
    except distexec.TimeoutError:
        print("late")
    except ValueError as error:
        print("failed", error)
