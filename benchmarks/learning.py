"""What does learning gain: the same calls with nothing learned, and with wrong beliefs?

The caller and the leases decide from learned run times how many calls travel together. Frozen,
they know nothing for ever; frozen at tiny, they take every call for one of 2 µs. Calls that do
nothing, and the shuffled mix of `heavy_tail.py`, the same each time.

Frozen at tiny may be the fastest with the mix: it starts calls in another order than they were
submitted in, which calls that wait for each other do not survive (decision 0004).
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from _contenders import CONTENDERS, Contender, ExecutorPool, Pool, local_cluster
from _contest import contest, seconds_of
from _report import Report, read_options, run
from _work import noop, rest
from heavy_tail import mix

CALLS = 8000
MIXED_CALLS = 300


def freeze() -> None:
    """Let this process know nothing, whatever it sees."""
    _freeze_with(None)


def freeze_at_tiny() -> None:
    """Let this process believe that every call is tiny, whatever it sees."""
    from distexec.scheduling.run_times import TELLING_CALLS, RunTime

    _freeze_with(RunTime(2e-6, 0.0, 2e-6, unwaited=TELLING_CALLS + 1))


def _freeze_with(run_time: Any) -> None:
    from distexec.scheduling.run_times import RunTimes

    for name in ("add", "add_all", "add_group"):
        setattr(RunTimes, name, lambda self, *seen: None)
    RunTimes.get = lambda self, function_id: run_time  # type: ignore[method-assign]
    overall = property(lambda self: run_time, lambda self, value: None)
    RunTimes.overall = overall  # type: ignore[assignment]


def _nothing() -> None:
    """Leave a process as it is."""


BELIEFS = {"distexec": _nothing, "frozen": freeze, "frozen at tiny": freeze_at_tiny}


@contextmanager
def _open(workers: int, *, believe: Callable[[], None]) -> Iterator[Pool]:
    from distexec import DistributedExecutor

    believe()
    cluster = local_cluster(workers)
    # The initializer makes each worker process believe the same.
    with cluster, DistributedExecutor(workers, initializer=believe, cluster=cluster) as executor:
        yield ExecutorPool(executor)


for _name, _believe in BELIEFS.items():
    CONTENDERS[_name] = Contender(functools.partial(_open, believe=_believe))


def measure(pool: Pool, tiny: int, seconds: list[float]) -> tuple[float, float]:
    """Calls/s of calls that do nothing, and seconds of the mix."""
    return tiny / seconds_of(pool.each, noop, range(tiny)), seconds_of(pool.each, rest, seconds)


def main() -> None:
    options = read_options(__doc__, rounds=3)
    report = Report("learning", __doc__ or "", "", plot="calls/s")
    tiny, mixed = (200, 20) if options.quick else (CALLS, MIXED_CALLS)
    with contest(measure, list(BELIEFS), options) as open_contest:
        found = open_contest.rounds(options.rounds, tiny, mix(mixed)["shuffled"])
    for name, turns in found.items():
        report.add(name, "calls/s", [rate for rate, _ in turns])
        report.add(name, "seconds of the mix", [seconds for _, seconds in turns])
    report.target(
        "calls/s, over frozen", report.ratio("calls/s", "distexec", "frozen"), at_least=1.5
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
