"""Fixtures of the fault matrix, and the table that a run of it ends with."""

import contextlib
import gc
import os
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from conftest import eventually

from .rig import PERSISTENT, Rig, running_rig
from .trial import Trial, Verdict

_FIGURES = "figures"


@pytest.fixture
def trial(tmp_path: Path, record_property: Callable[[str, object], None]) -> Callable[[str], Trial]:
    """Begin the trial of a row."""
    return lambda row: Trial(
        row, tmp_path, lambda verdict: record_property(_FIGURES, verdict.figures)
    )


@pytest.fixture(autouse=True)
def nothing_stays(rig: Rig) -> Iterator[None]:
    """After a row the caller has the descriptors and threads of before, the server no key of it.

    Nodes of its own are ended: were two to have one name, each would be taken for the other.
    """
    nodes, threads, descriptors = set(rig.nodes), threading.active_count(), open_descriptors()
    yield
    rig.end_nodes(*rig.nodes.keys() - nodes)

    def is_clean() -> bool:
        gc.collect()  # Connections of kombu's are in cycles.
        assert open_descriptors() == descriptors
        assert threading.active_count() == threads
        assert rig.own_keys() == []
        return True

    eventually(is_clean, 20)


def open_descriptors() -> dict[str, str]:
    """This process's descriptors, and what each of them is."""
    found = {}
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # That of the listing itself.
            found[descriptor] = os.readlink(f"/proc/self/fd/{descriptor}")
    return found


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server that keeps its data, and two nodes of two slots: ``n1`` and ``n2``.

    Shared by the rows of a module: whatever happened to it in one, the next one finds it well.
    """
    settings = {
        "connect_seconds": 1,
        "unavailable_seconds": 60,
        "key_expiry_seconds": 8,
        # Idle leases stay: a row that is to meet one finds it however slow the machine is.
        "linger_seconds": 20,
    }
    with running_rig(tmp_path_factory.mktemp("rig"), *PERSISTENT, **settings) as rig:
        rig.start_nodes("n1", "n2", slots=2)
        yield rig


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a row that failed what its nodes had to say."""
    report = yield
    rig = getattr(item, "funcargs", {}).get("rig")
    if report.failed and rig is not None:
        report.sections.append(("nodes", rig.logs()))
    return report


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
