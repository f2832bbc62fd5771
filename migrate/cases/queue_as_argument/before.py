import queue
from concurrent.futures import ThreadPoolExecutor


def drain(jobs):
    total = 0
    while not jobs.empty():
        total += jobs.get()
    return total


jobs = queue.Queue()
for n in range(4):
    jobs.put(n)
with ThreadPoolExecutor(2) as pool:
    print(sum(f.result() for f in [pool.submit(drain, jobs), pool.submit(drain, jobs)]))
