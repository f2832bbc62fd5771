from distexec import ThreadPoolExecutor

seen = []


def square(n):
    return n * n


def note(future):
    seen.append(future.result())


with ThreadPoolExecutor() as pool:
    for n in range(3):
        future = pool.submit(square, n)
        future.add_done_callback(note)
print(sorted(seen))
