from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm


def run(numbers):
    bar = tqdm(total=len(numbers))

    def work(n):
        bar.update(1)
        return n * n

    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, numbers))


print(run([1, 2]))
