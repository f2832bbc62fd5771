from concurrent.futures import Executor, Future


def start(executor: Executor, fn) -> Future:
    return executor.submit(fn)


print(start.__name__)
