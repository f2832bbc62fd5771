"""How many calls that do nothing can be submitted and taken as they complete, in a second?"""

from contextlib import suppress

from _contenders import Pool
from _contest import DroppedOut, contests, seconds_of
from _report import Report, read_options, run
from _work import noop

NAMES = (
    *("distexec", "ThreadPoolExecutor", "ProcessPoolExecutor", "loky", "joblib"),
    *("celery", "dramatiq", "dask", "ray"),
)

#: A contender's turn has as many calls as it makes in this time.
TURN_SECONDS = 1.0
MOST_CALLS = 100_000


def measure(pool: Pool, count: int) -> float:
    """Seconds that *count* calls take."""
    return seconds_of(pool.each, noop, range(count))


def main() -> None:
    options = read_options(__doc__, rounds=4)
    report = Report("throughput", __doc__ or "", "calls/s", plot="calls/s")
    seconds = 0.05 if options.quick else TURN_SECONDS
    counts: dict[str, int] = {}
    for open_contest in contests(measure, NAMES, options):
        for name in open_contest.names:
            with suppress(DroppedOut):
                counts[name] = open_contest.calibrate(name, seconds, MOST_CALLS)
        for _ in range(options.rounds):
            for name in open_contest.names:
                with suppress(DroppedOut):
                    took = open_contest.turn(name, counts[name])
                    report.extend(name, "calls/s", counts[name] / took)
    for name in report.found:
        report.add(name, "calls in a turn", [counts[name]])
    for peer, least in (("ProcessPoolExecutor", 4), ("celery", 60), ("dask", 60), ("ray", 30)):
        report.target(
            f"at least {least} times {peer}",
            report.ratio("calls/s", "distexec", peer),
            at_least=least,
        )
    report.finish(options)


if __name__ == "__main__":
    run(main)
