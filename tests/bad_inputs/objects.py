"""Objects that misbehave on their way, and functions that make them in a worker."""

import os
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from properties import calls


class FailsInPickling:
    """Raises when it is to be sent."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


def _fail(text: str) -> None:
    raise ValueError(text)


class FailsInUnpickling:
    """Raises where it arrives."""

    def __reduce__(self) -> Any:
        return _fail, ("never again",)


def _kill(caller: int) -> None:
    if os.getpid() != caller:
        os._exit(3)


class KillsInUnpickling:
    """Ends the process in which it arrives, unless that is the caller's."""

    def __init__(self, caller: int) -> None:
        self.caller = caller

    def __reduce__(self) -> Any:
        return _kill, (self.caller,)


def _fail_in(process: int, kind: type[BaseException]) -> str:
    if os.getpid() == process:
        raise kind("not here")
    return "elsewhere"


class FailsThere:
    """Raises when it arrives in one process."""

    def __init__(self, process: int, kind: type[BaseException]) -> None:
        self.process, self.kind = process, kind

    def __reduce__(self) -> Any:
        return _fail_in, (self.process, self.kind)


def make_failing_here(process: int, kind: type[BaseException]) -> FailsThere:
    return FailsThere(process, kind)


def make_generator() -> Iterator[int]:
    yield 1


def make_future() -> Future[int]:
    return Future()


def make_nested_lock() -> Any:
    return {"deep": [1, calls.lock()]}
