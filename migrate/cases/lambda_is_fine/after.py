from distexec import ThreadPoolExecutor

with ThreadPoolExecutor() as pool:
    print(list(pool.map(lambda pair: pair[0] + pair[1], [(1, 2), (3, 4)])))
