from concurrent.futures import ThreadPoolExecutor


def mark(chunk):
    for item in chunk:
        item["done"] = True


chunks = [[{"id": 1}], [{"id": 2}]]
with ThreadPoolExecutor() as pool:
    futures = [pool.submit(mark, chunk) for chunk in chunks]
    for future in futures:
        future.result()
print(chunks)
