from concurrent.futures import (
    ThreadPoolExecutor,  # the pool
    as_completed,
    wait, FIRST_COMPLETED,
)


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:
    futures = {pool.submit(square, n): n for n in range(4)}
    done, pending = wait(futures, return_when=FIRST_COMPLETED)
    print(bool(done))
    print(sorted(future.result() for future in as_completed(futures)))
