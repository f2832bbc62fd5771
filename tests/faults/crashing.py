"""Values and functions that fail, exit or crash at one place of a call's way, after CPython's own.

Those that crash do so in whatever process they come to: see `test_crash_matrix`.
"""

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def fail() -> None:
    raise ValueError("as it was meant to")


def leave() -> None:
    sys.exit(3)


def crash() -> None:
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


HOW: dict[str, Callable[[], None]] = {"error": fail, "exit": leave, "crash": crash}


class AtPickling:
    """Does it when it is pickled."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        HOW[self.how]()
        raise AssertionError("unreachable")


class AtUnpickling:
    """Does it when it is unpickled."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return HOW[self.how], ()


def run(place: str, how: str) -> Any:
    """Do it now, or return what will."""
    if place == "execution":
        return HOW[how]()
    return {"result pickling": AtPickling, "result unpickling": AtUnpickling}[place](how)


def ignore(value: object) -> None:
    """Take an argument that fails on its way."""
