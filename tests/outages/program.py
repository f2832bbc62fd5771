"""A caller of its own: submits calls that wait, and prints their results."""

import sys

import distexec
from outages import deeds


def main(url: str, ledger: str, gate: str, count: int) -> None:
    with distexec.ProcessPoolExecutor(2, cluster=url) as executor:
        futures = [executor.submit(deeds.work, ledger, gate, n) for n in range(count)]
        print([future.result(timeout=40) for future in futures])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
