"""What does a call cost whose argument has from 10 bytes to 10 MB?

Every argument is another one, and cannot be compressed; the result is its length.
"""

import os
from contextlib import suppress

from _contenders import Pool
from _contest import DroppedOut, contests, seconds_of
from _report import Report, read_options, run
from _work import size

SIZES = {
    "10 B": 10,
    "1 KB": 1000,
    "10 KB": 10_000,
    "100 KB": 100_000,
    "1 MB": 10**6,
    "10 MB": 10**7,
}
#: Bytes in a turn, about, and bounds for its calls.
TURN_BYTES = 40_000_000
CALLS = 8, 2000

NAMES = ("distexec", "ProcessPoolExecutor", "loky", "dask")


def measure(pool: Pool, length: int, calls: int) -> float:
    """Milliseconds for each call."""
    common = os.urandom(max(0, length - 8))
    arguments = [number.to_bytes(8, "big") + common for number in range(calls)]
    return 1000 * seconds_of(pool.each, size, arguments) / calls


def main() -> None:
    options = read_options(__doc__, rounds=3)
    report = Report(
        "growth_payload", __doc__ or "", "ms for each call", plot="argument", is_curve=True
    )
    least, most = (2, 20) if options.quick else CALLS
    for open_contest in contests(measure, NAMES, options):
        for column, length in SIZES.items():
            calls = max(least, min(most, TURN_BYTES // length))
            for _ in range(options.rounds + 1):
                for name in open_contest.names:
                    with suppress(DroppedOut):
                        report.extend(name, column, open_contest.turn(name, length, calls))
    report.drop_first()
    report.finish(options)


if __name__ == "__main__":
    run(main)
