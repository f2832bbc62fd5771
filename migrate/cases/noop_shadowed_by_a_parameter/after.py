from concurrent.futures import ThreadPoolExecutor


def build(ThreadPoolExecutor):
    return ThreadPoolExecutor()


print(build(list), ThreadPoolExecutor.__name__)
