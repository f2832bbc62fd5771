"""What does one call that does nothing cost, from a thousand to a million of them at once?

Submitted all together, taken by `as_completed`. The local pools stop at 100,000: they show what the
standard library's futures cost.
"""

from contextlib import suppress

from _contenders import Pool
from _contest import DroppedOut, contest, seconds_of
from _report import Report, read_options, run
from _work import noop

CALLS = (1000, 10_000, 100_000, 1_000_000)
LOCAL_CALLS = CALLS[:3]

#: A million calls take half a minute on a quiet machine.
TURN_SECONDS = 180.0

#: Up to so many calls take less than half a second: their turns differ by a half, and are repeated.
SHORT_TURN = 10_000
TURNS_OF_SHORT = 5

NAMES = ("distexec", "ThreadPoolExecutor", "ProcessPoolExecutor")


def measure(pool: Pool, calls: int) -> float:
    """Microseconds for each call."""
    return 1e6 * seconds_of(pool.each, noop, range(calls)) / calls


def main() -> None:
    options = read_options(__doc__, rounds=3)
    report = Report("growth_calls", __doc__ or "", "µs for each call", plot="calls", is_curve=True)
    with contest(measure, NAMES, options, turn_seconds=TURN_SECONDS) as open_contest:
        open_contest.rounds(0, 1000)  # A warm-up.
        for calls in (100, 1000) if options.quick else CALLS:
            for _ in range(options.rounds * (TURNS_OF_SHORT if calls <= SHORT_TURN else 1)):
                for name in open_contest.names:
                    if name == "distexec" or calls in LOCAL_CALLS:
                        with suppress(DroppedOut):
                            report.extend(name, f"{calls:,}", open_contest.turn(name, calls))
    report.target(
        "a million calls at most 1.2 times as much for each as 10,000",
        report.median("distexec", "1,000,000") / report.median("distexec", "10,000"),
        at_most=1.2,
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
