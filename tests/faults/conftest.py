"""Fixtures of the fault matrix, and the table that a run of it ends with."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from .rig import Rig, running_rig
from .trial import Trial, Verdict

_FIGURES = "figures"


@pytest.fixture
def trial(tmp_path: Path, record_property: Callable[[str, object], None]) -> Callable[[str], Trial]:
    """Begin the trial of a row."""
    return lambda row: Trial(
        row, tmp_path, lambda verdict: record_property(_FIGURES, verdict.figures)
    )


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A server without persistence, and no node yet."""
    with running_rig(tmp_path) as rig:
        yield rig


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the rows saw."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _FIGURES and report.when == "call"
    ]
    if rows:
        names = [field.name for field in fields(Verdict)]
        terminalreporter.section("fault matrix")
        for row in [dict.fromkeys(names, None), *rows]:
            cells = [name if row[name] is None else str(row[name]) for name in names]
            terminalreporter.write_line(" ".join(f"{cell:>9}" for cell in cells))
