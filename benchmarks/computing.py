"""How long does real work take that keeps every processor busy?

The demo's: each call reads, parses and measures a file of the standard library, the largest first.
As many workers as processors. And a short burst of it: every sixteenth file.
"""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "examples"))

from _contenders import Pool
from _contest import contest, seconds_of
from _report import Report, read_options, run
from analyse_stdlib import standard_library
from code_metrics import measure as measure_file

NAMES = ("distexec", "ThreadPoolExecutor", "ProcessPoolExecutor", "loky", "joblib")

#: Of how many files one is measured, by column.
PARTS = {"all": 1, "short burst": 16}


def measure(pool: Pool, paths: list[str]) -> list[float]:
    """Seconds until all files of each part are measured."""
    return [seconds_of(pool.each, measure_file, paths[::step]) for step in PARTS.values()]


def main() -> None:
    options = read_options(__doc__, rounds=7)
    paths = standard_library()
    report = Report("computing", __doc__ or "", "seconds", plot="all")
    with contest(measure, NAMES, options, workers=os.cpu_count() or 1) as open_contest:
        found = open_contest.rounds(options.rounds, paths[-64:] if options.quick else paths)
    for name, samples in found.items():
        for column, seconds in zip(PARTS, zip(*samples, strict=True), strict=True):
            report.add(name, column, list(seconds))
    report.target(
        "at most 1.05 times ProcessPoolExecutor",
        report.ratio("all", "distexec", "ProcessPoolExecutor"),
        at_most=1.05,
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
