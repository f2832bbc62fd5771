"""How long does one call take, from submit to result, when nothing else is in flight?"""

import statistics
import time

from _contenders import Pool
from _contest import contests
from _report import Report, read_options, run
from _work import noop

NAMES = (
    *("distexec", "floor", "ThreadPoolExecutor", "ProcessPoolExecutor", "loky", "joblib"),
    *("celery", "dramatiq", "dask", "ray"),
)

#: Calls in a turn, and the seconds after which a slow contender's turn ends.
CALLS = 1000
TURN_SECONDS = 1.0
LEAST_CALLS = 20

QUANTILES = {"p50": 50, "p95": 95, "p99": 99}


def measure(pool: Pool, calls: int) -> list[float]:
    """Milliseconds of each call, one after the other."""
    found = []
    end = time.perf_counter() + TURN_SECONDS
    while len(found) < calls and (time.perf_counter() < end or len(found) < LEAST_CALLS):
        started = time.perf_counter()
        pool.call(noop)
        found.append(1000 * (time.perf_counter() - started))
    return found


def main() -> None:
    options = read_options(__doc__, rounds=5)
    report = Report("latency", __doc__ or "", "ms", plot="p50")
    calls = 30 if options.quick else CALLS
    for open_contest in contests(measure, NAMES, options):
        for name, turns in open_contest.rounds(options.rounds, calls).items():
            for column, percent in QUANTILES.items():
                cuts = [statistics.quantiles(turn, n=100)[percent - 1] for turn in turns]
                report.add(name, column, cuts)
    report.target(
        "p50 at most 2.5 times the floor", report.ratio("p50", "distexec", "floor"), at_most=2.5
    )
    report.target(
        "p50 of Celery over ours at least 5",
        report.ratio("p50", "celery", "distexec"),
        at_least=5,
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
