from concurrent.futures import Future, wait

future = Future()
future.set_result(3)
print(wait([future]).done.pop().result())
