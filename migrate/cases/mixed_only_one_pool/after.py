from concurrent.futures import ThreadPoolExecutor
import distexec

seen = []


def square(n):
    return n * n


def note(n):
    seen.append(n)


with distexec.ThreadPoolExecutor() as pool:
    print(list(pool.map(square, [1, 2])))
with ThreadPoolExecutor() as local_pool:
    list(local_pool.map(note, [1, 2]))
print(sorted(seen))
