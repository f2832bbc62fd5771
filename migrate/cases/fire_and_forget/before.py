from concurrent.futures import ThreadPoolExecutor


def send(text):
    return len(text)


with ThreadPoolExecutor() as pool:
    pool.submit(send, "hello")
print("sent")
