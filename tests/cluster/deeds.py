"""What calls of these tests do. The nodes import it from the tests' folder."""

import os
import threading
import time
from typing import Any

from properties import calls


def where() -> str:
    """The name of the node that runs this call."""
    return os.environ["NODE_OF_TEST"]


def slow_on(node: str) -> str:
    """Lasts on one node, and nowhere else."""
    if where() == node:
        time.sleep(0.2)
    return where()


def noted_where(ledger: str, gate: str, value: Any) -> tuple[Any, str]:
    """Say on which node the call waits, wait, and say so again."""
    calls.note(ledger, f"{value} {where()}")
    return calls.wait_for(gate, value), where()


_kept: list[bytes] = []


def fill(size: int) -> int:
    """Keep so many bytes for good; return the process."""
    _kept.append(b"x" * size)
    return os.getpid()


def where_after(ledger: str, gate: str) -> tuple[int, str]:
    """Say that the call runs, wait, and return its process and its thread."""
    calls.note(ledger, threading.current_thread().name)
    calls.wait_for(gate)
    return os.getpid(), threading.current_thread().name


def linger(gate: str) -> None:
    """Take a while, until *gate* is there."""
    if not os.path.exists(gate):
        time.sleep(0.05)


def hold_noted(ledger: str, gate: str) -> None:
    """Say in which process the call waits, and wait."""
    calls.note(ledger, os.getpid())
    calls.wait_for(gate)
