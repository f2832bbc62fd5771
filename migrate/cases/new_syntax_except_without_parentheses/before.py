from concurrent.futures import ThreadPoolExecutor


def convert(text):
    try:
        return int(text)
    except ValueError, TypeError:
        return t"{text}".strings


with ThreadPoolExecutor() as pool:
    print(list(pool.map(convert, ["1", "2"])))
