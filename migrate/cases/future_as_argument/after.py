from concurrent.futures import Future, ThreadPoolExecutor


def work(fut, n):
    fut.set_result(n)


fut = Future()
with ThreadPoolExecutor() as ex:
    ex.submit(work, fut, 4)
print(fut.result())
