"""Fixtures of the properties: shared executors, and gates that open by themselves."""

import tempfile
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

from .worlds import Pools


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> None:
    """Start what the standard process pool leaves running, before a module's leftovers are counted.

    Its folder outlives pytest's own: multiprocessing removes it when the interpreter exits.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TMPDIR", raising=False)
        patch.setattr(tempfile, "tempdir", None)
        forkserver.ensure_running()


@pytest.fixture(scope="module")
def pool() -> Iterator[Pools]:
    """Executors that live as long as the module's tests."""
    pools = Pools()
    yield pools
    pools.close()


class Gate:
    """A file that calls wait for, in whatever process they run."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def open(self) -> None:
        """Let every call go that waits for the gate."""
        Path(self.path).touch()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that opens with the end of the test, so that a failed test leaves no call behind."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    """Where calls write what they did."""
    return str(tmp_path / "ledger")
