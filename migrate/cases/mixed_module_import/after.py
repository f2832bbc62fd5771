import concurrent.futures
import distexec

seen = []


def square(n):
    return n * n


def note(n):
    seen.append(n)


with distexec.ThreadPoolExecutor() as pool:
    print([f.result() for f in concurrent.futures.as_completed([pool.submit(square, 2)])])
with concurrent.futures.ThreadPoolExecutor() as local_pool:
    list(local_pool.map(note, [1, 2]))
print(sorted(seen))
