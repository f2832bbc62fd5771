from concurrent.futures import ThreadPoolExecutor

model = None


def load():
    global model
    model = {"factor": 3}


def predict(n):
    return n * model["factor"]


load()
with ThreadPoolExecutor() as pool:
    print(list(pool.map(predict, [1, 2])))
