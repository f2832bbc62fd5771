from concurrent.futures import ThreadPoolExecutor


def run_all(jobs):
    with ThreadPoolExecutor() as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


print(run_all([int, str]))
