"""How long does a mix of calls take, most of them short and a few very long?

90 % of 1 ms, 9 % of 20 ms and 1 % of 500 ms, all asleep, submitted in two orders. The ideal gives
each call to the first worker that is free.
"""

import heapq
import random
from collections.abc import Iterable

from _contenders import Pool
from _contest import WORKERS, contests, seconds_of
from _report import Report, read_options, run
from _work import rest

CALLS = 600
MIX = ((0.90, 0.001), (0.09, 0.02), (0.01, 0.5))

NAMES = ("distexec", "ThreadPoolExecutor", "ProcessPoolExecutor", "loky", "joblib", "dask", "ray")


def mix(calls: int) -> dict[str, list[float]]:
    """The calls' seconds, by the order in which they are submitted."""
    seconds = [each for share, each in MIX for _ in range(round(share * calls))]
    shuffled = list(seconds)
    random.Random(4).shuffle(shuffled)
    return {"shuffled": shuffled, "longest last": seconds}


def ideal(seconds: Iterable[float], workers: int) -> float:
    """When the last call ends if workers cost nothing."""
    free = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def measure(pool: Pool, seconds: list[float]) -> float:
    """Seconds until all are done."""
    return seconds_of(pool.each, rest, seconds)


def main() -> None:
    options = read_options(__doc__, rounds=3)
    report = Report("heavy_tail", __doc__ or "", "seconds", plot="shuffled")
    orders = mix(20 if options.quick else CALLS)
    for order, seconds in orders.items():
        report.add("ideal", order, [ideal(seconds, WORKERS)])
    for open_contest in contests(measure, NAMES, options):
        for order, seconds in orders.items():
            for name, samples in open_contest.rounds(options.rounds, seconds).items():
                report.add(name, order, samples)
    for order in orders:
        report.target(
            f"{order}: at most 1.05 times ProcessPoolExecutor",
            report.ratio(order, "distexec", "ProcessPoolExecutor"),
            at_most=1.05,
        )
    report.finish(options)


if __name__ == "__main__":
    run(main)
