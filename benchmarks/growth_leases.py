"""How many calls that do nothing are done in a second, with one to eight workers?"""

from contextlib import suppress

from _contenders import Pool
from _contest import DroppedOut, contest, seconds_of
from _report import Report, read_options, run
from _work import noop

WORKERS = (1, 2, 4, 8)
CALLS = {"distexec": 20_000, "ProcessPoolExecutor": 4000}


def measure(pool: Pool, calls: int) -> float:
    """Calls for each second."""
    return calls / seconds_of(pool.each, noop, range(calls))


def main() -> None:
    options = read_options(__doc__, rounds=3)
    report = Report("growth_leases", __doc__ or "", "calls/s", plot="workers", is_curve=True)
    for workers in WORKERS:
        with contest(measure, list(CALLS), options, workers=workers) as open_contest:
            for _ in range(options.rounds + 1):
                for name in open_contest.names:
                    with suppress(DroppedOut):
                        rate = open_contest.turn(name, 200 if options.quick else CALLS[name])
                        report.extend(name, str(workers), rate)
    report.drop_first()
    report.finish(options)


if __name__ == "__main__":
    run(main)
