import distexec as futures


def square(n):
    return n * n


with futures.ThreadPoolExecutor() as pool:
    done, not_done = futures.wait([pool.submit(square, 3)])
    print(done.pop().result(), len(not_done))
