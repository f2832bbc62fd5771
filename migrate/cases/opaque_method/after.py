from concurrent.futures import ThreadPoolExecutor

from somewhere import client

with ThreadPoolExecutor() as pool:
    print(list(pool.map(client.fetch, ["a", "b"])))
