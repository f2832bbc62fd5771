"""How well do two slots carry calls that only wait, in per cent of the ideal?

500 waits of 50 ms with `max_workers=64`, as programs do that ask other machines. distexec learns by
itself that such calls may share a process; `threads=True` says so. The pools of the standard
library have 64 threads, or processes.
"""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager

from _contenders import CONTENDERS, Contender, ExecutorPool, Pool, local_cluster
from _contest import contest, seconds_of
from _report import Report, read_options, run
from _work import rest

CALLS = 500
CALL_SECONDS = 0.05
LIMIT = 64
SLOTS = 2

NAMES = ("distexec", "distexec, threads=True", "ThreadPoolExecutor", "ProcessPoolExecutor")


@contextmanager
def _open(workers: int, *, threads: bool | None) -> Iterator[Pool]:
    from distexec import DistributedExecutor

    cluster = local_cluster(SLOTS)
    with cluster, DistributedExecutor(workers, cluster=cluster, threads=threads) as executor:
        yield ExecutorPool(executor)


CONTENDERS["distexec"] = Contender(functools.partial(_open, threads=None))
CONTENDERS["distexec, threads=True"] = Contender(functools.partial(_open, threads=True))


def measure(pool: Pool, calls: int) -> float:
    """Per cent of the ideal."""
    ideal = math.ceil(calls / LIMIT) * CALL_SECONDS
    return 100 * ideal / seconds_of(pool.each, rest, [CALL_SECONDS] * calls)


def main() -> None:
    options = read_options(__doc__)
    report = Report("waits", __doc__ or "", "% of the ideal", plot="efficiency")
    with contest(measure, NAMES, options, workers=LIMIT) as open_contest:
        found = open_contest.rounds(options.rounds, 70 if options.quick else CALLS)
    for name, samples in found.items():
        report.add(name, "efficiency", samples)
    report.target("at least 85 %", report.median("distexec", "efficiency"), at_least=85)
    report.finish(options)


if __name__ == "__main__":
    run(main)
