"""Counts the Python functions that work runs."""

import sys
from collections.abc import Callable
from typing import Any


def count_functions(work: Callable[[], Any]) -> int:
    """How many Python functions the calling thread enters during *work*."""
    entered = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return entered
