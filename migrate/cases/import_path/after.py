import sys
from concurrent.futures import ThreadPoolExecutor


def work(p):
    sys.path.append(p)


with ThreadPoolExecutor() as ex:
    list(ex.map(work, ["/x"]))
print("/x" in sys.path)
