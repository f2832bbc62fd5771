"""A caller in a process of its own: ``python -m faults.program URL LEDGER COUNT SECONDS``.

It says that it begins, and ends with a line of JSON: its results, and the seconds that they took.
"""

import json
import sys
import time

import distexec

from .ledger import work


def main(url: str, ledger: str, count: str, seconds: str) -> None:
    """Run the calls, and print what they returned."""
    print("begun", flush=True)
    began = time.monotonic()
    with distexec.ProcessPoolExecutor(4, cluster=url) as executor:
        futures = [executor.submit(work, ledger, n, float(seconds)) for n in range(int(count))]
        results = [future.result(timeout=100) for future in futures]
    print(json.dumps({"results": results, "seconds": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
