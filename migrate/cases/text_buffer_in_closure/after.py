import io
from concurrent.futures import ThreadPoolExecutor


def main():
    buffer = io.StringIO()

    def work(n):
        buffer.write("x" * n)

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, range(4)))
    return buffer.getvalue()


print(main())
