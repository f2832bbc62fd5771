from concurrent.futures import ThreadPoolExecutor

settings = {"max_workers": 2}


def square(n):
    return n * n


with ThreadPoolExecutor(**settings) as pool:
    print(list(pool.map(square, [1, 2])))
