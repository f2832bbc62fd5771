import heapq
from concurrent.futures import ThreadPoolExecutor

heap = []


def work(n):
    heapq.heappush(heap, n)


with ThreadPoolExecutor() as ex:
    list(ex.map(work, range(3)))
print(sorted(heap))
