from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor() as pool:
    print(pool.submit(sum, (n * n for n in range(4))).result())
