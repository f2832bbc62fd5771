"""What does each promise cost one call, in its shortest Python, from the floor to distexec?

*acknowledged*: a call stays on the server until its reply is there. *signed*: it is pickled and
signed, and so is its result. *futures*: a thread settles futures, so that a program may go on while
calls are under way. Each has what those before it have, one worker, and of distexec nothing but the
parser of the server's answers: no window, no limits, no recovery of lost workers, no learning, no
statistics.
"""

import statistics

from _contest import contests
from _report import Report, read_options, run
from latency import CALLS, measure

#: distexec first: what starts the server that all of them share.
NAMES = ("distexec", "floor", "acknowledged", "signed", "futures")


def main() -> None:
    options = read_options(__doc__, rounds=9)
    report = Report("steps", __doc__ or "", "us", plot="p50")
    calls = 30 if options.quick else CALLS
    for open_contest in contests(measure, NAMES, options):
        for name, turns in open_contest.rounds(options.rounds, calls).items():
            report.add(name, "p50", [1000 * statistics.median(turn) for turn in turns])
    for name in NAMES:
        report.add(name, "over the floor", [report.ratio("p50", name, "floor")])
    report.finish(options)


if __name__ == "__main__":
    run(main)
