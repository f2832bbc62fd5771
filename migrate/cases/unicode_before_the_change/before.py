import concurrent.futures


def größe(n):
    return n * n


with concurrent.futures.ThreadPoolExecutor() as pool:
    print("ä", {"ö": concurrent.futures.wait([pool.submit(größe, 3)]).done.pop().result()})
