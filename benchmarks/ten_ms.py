"""How much of four workers' time is used by calls of 10 ms, in per cent of the ideal?

The calls sleep: four of them at a time do not need four processors.
"""

from _contenders import Pool
from _contest import WORKERS, contests, seconds_of
from _report import Report, read_options, run
from _work import rest

CALL_SECONDS = 0.01
CALLS = 400

LOCAL = ("ThreadPoolExecutor", "ProcessPoolExecutor", "loky", "joblib")
NAMES = ("distexec", *LOCAL, "celery", "dramatiq", "dask", "ray")


def measure(pool: Pool, calls: int) -> float:
    """Per cent of the ideal."""
    ideal = calls * CALL_SECONDS / WORKERS
    return 100 * ideal / seconds_of(pool.each, rest, [CALL_SECONDS] * calls)


def main() -> None:
    options = read_options(__doc__, rounds=4)
    report = Report("ten_ms", __doc__ or "", "% of the ideal", plot="efficiency")
    calls = 20 if options.quick else CALLS
    for open_contest in contests(measure, NAMES, options):
        for name, samples in open_contest.rounds(options.rounds, calls).items():
            report.add(name, "efficiency", samples)
    ours = report.median("distexec", "efficiency")
    report.target("at least 95 %", ours, at_least=95)
    if local := [report.median(name, "efficiency") for name in LOCAL if name in report.found]:
        best = max(local)
        report.target("at most 2 points below the best local pool", best - ours, at_most=2)
    report.finish(options)


if __name__ == "__main__":
    run(main)
