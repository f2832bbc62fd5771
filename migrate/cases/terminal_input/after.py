from concurrent.futures import ThreadPoolExecutor


def ask(question):
    return input(question)


with ThreadPoolExecutor() as pool:
    answer = pool.submit(ask, "name? ")
    print(answer.result())
