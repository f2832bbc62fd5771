import io
import tempfile
from concurrent.futures import ThreadPoolExecutor


def main():
    log = tempfile.TemporaryFile("w+")

    def work(n):
        log.write("x")
        return n

    with ThreadPoolExecutor(2) as pool:
        print(list(pool.map(work, [1, 2])), io.SEEK_SET)
    log.close()


main()
