"""How long does a tiny call take while slow ones run in the same executor, and one worker is free?

Three of four workers are kept busy by calls of 100 ms; whenever one of them ends another is
submitted, and tiny calls right behind it, one after the other.
"""

import statistics
import time

from _contenders import ExecutorPool
from _contest import WORKERS, contests
from _report import Report, read_options, run
from _work import noop, rest

SLOW_SECONDS = 0.1
TURN_SECONDS = 1.2
#: Tiny calls in a turn at least, or there are no quantiles.
LEAST_CALLS = 20

NAMES = ("distexec", "ThreadPoolExecutor", "ProcessPoolExecutor", "loky", "dask")


def measure(pool: ExecutorPool, slow_ones: int, seconds: float) -> list[float]:
    """Milliseconds of each tiny call."""
    slow = [pool.executor.submit(rest, SLOW_SECONDS) for _ in range(slow_ones)]
    found = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end or len(found) < LEAST_CALLS:
        pool.call(noop)
        found.append(1000 * (time.perf_counter() - started))
        slow = [
            pool.executor.submit(rest, SLOW_SECONDS) if future.done() else future for future in slow
        ]
    for future in slow:
        future.result()
    return found


def main() -> None:
    options = read_options(__doc__, rounds=3)
    seconds = 0.1 if options.quick else TURN_SECONDS
    report = Report("mixed", __doc__ or "", "ms", plot="p95 behind slow ones")
    for open_contest in contests(measure, NAMES, options):
        for where, slow_ones in (("alone", 0), ("behind slow ones", WORKERS - 1)):
            for name, turns in open_contest.rounds(options.rounds, slow_ones, seconds).items():
                for column, percent in (("p50", 50), ("p95", 95)):
                    cuts = [statistics.quantiles(turn, n=100)[percent - 1] for turn in turns]
                    report.add(name, f"{column} {where}", cuts)
    report.target(
        "p95 at most 3 times that of tiny calls alone",
        report.median("distexec", "p95 behind slow ones") / report.median("distexec", "p95 alone"),
        at_most=3,
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
