"""How long does real work take that keeps every processor busy?

The demo's: each call reads, parses and measures a file of the standard library; every sixteenth
file, the largest first. As many workers as processors.
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


def measure(pool: Pool, paths: list[str]) -> float:
    """Seconds until all files are measured."""
    return seconds_of(pool.each, measure_file, paths)


def main() -> None:
    options = read_options(__doc__, rounds=4)
    paths = standard_library()[::16]
    report = Report("computing", __doc__ or "", "seconds", plot="makespan")
    with contest(measure, NAMES, options, workers=os.cpu_count() or 1) as open_contest:
        found = open_contest.rounds(options.rounds, paths[-4:] if options.quick else paths)
    for name, samples in found.items():
        report.add(name, "makespan", samples)
    report.target(
        "at most 1.05 times ProcessPoolExecutor",
        report.ratio("makespan", "distexec", "ProcessPoolExecutor"),
        at_most=1.05,
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
