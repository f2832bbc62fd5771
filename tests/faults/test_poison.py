"""Rows 18 and 19: calls that kill whatever runs them, among innocent ones."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import distexec
from conftest import eventually
from properties import calls

from .ledger import note_event
from .rig import Rig
from .trial import Trial

MakeTrial = Callable[[str], Trial]


def die(ledger: str, number: int) -> None:
    """Be the call that ends its process."""
    note_event(ledger, number, "start")
    os._exit(7)


def eat_memory(ledger: str, number: int, group: str) -> None:
    """Enter a control group with little memory, and ask for more than it has."""
    note_event(ledger, number, "start")
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
    pages = [bytearray(2**20) for _ in range(512)]
    calls.note(ledger, len(pages))


@pytest.mark.parametrize("innocent", [200, pytest.param(1000, marks=pytest.mark.full)])
def test_row_19_poison_in_a_batch(rig: Rig, trial: MakeTrial, innocent: int) -> None:
    """One call ends each process that runs it: it alone fails, after three, and says so."""
    tried = trial("19")
    with rig.processes(4) as executor:
        tried.submit(executor, innocent // 2)
        poison = tried.submit_other(executor, die)
        tried.submit(executor, innocent // 2)

        error = tried.futures[poison].exception(timeout=60)
        tried.hits = tried.ledger.read().starts[poison]
        verdict = tried.verdict(within=30, poison=[poison])

    assert isinstance(error, distexec.WorkerLost)
    assert len(error.attempts) == 3 and str(error).count("exited with code 7") == 3
    assert verdict.hits == 3
    # What had just ended beside it, and was not yet told, runs again.
    assert verdict.extra <= 3 * 4


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """A control group of the kernel with *limit* bytes."""
    name = f"distexec-faults-{os.getpid()}"
    for root, file in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / file).write_text(str(limit))
        except OSError:
            group.rmdir()
            continue
        try:
            yield group
        finally:
            eventually(lambda group=group: _is_removed(group))
        return
    pytest.skip("no control group for memory can be made here: it takes root, and a writable one")


def _is_removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


def test_row_18_out_of_memory(rig: Rig, trial: MakeTrial) -> None:
    """The kernel kills the process that asks for too much; its neighbours do not notice."""
    tried = trial("18")
    with memory_group(100 * 2**20) as group, rig.processes(4) as executor:
        tried.submit(executor, 20, 0.05)
        hungry = tried.submit_other(executor, eat_memory, str(group))
        tried.submit(executor, 20, 0.05)

        error = tried.futures[hungry].exception(timeout=60)
        tried.hits = tried.ledger.read().starts[hungry]
        verdict = tried.verdict(within=30, poison=[hungry])

    assert isinstance(error, distexec.WorkerLost)
    assert str(error).count(signal.SIGKILL.name) == 3
    assert verdict.hits == 3 and verdict.extra == 0
