"""Functions that the tests hand to executors: importable, so that they travel by reference.

What a call did is written to a *ledger*: a file opened with ``O_APPEND``, in which each line is one
atomic write. It needs no server and no shared memory, and it survives the process that wrote it.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: A call that waits for a test ends after this, whatever happens to the test.
PATIENCE_SECONDS = 30.0


def note(ledger: str | Path, line: object) -> None:
    """Append *line* to the ledger, as one write."""
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def read_ledger(ledger: str | Path) -> list[str]:
    """Return the ledger's lines, in the order in which they were written."""
    try:
        return Path(ledger).read_text().splitlines()
    except FileNotFoundError:
        return []


def identity(value: Any) -> Any:
    return value


def nothing(*args: Any, **kwargs: Any) -> None:
    """Take anything and return None."""


def square(value: int) -> int:
    return value * value


def add(left: int, right: int) -> int:
    return left + right


def pid(*args: Any) -> int:
    return os.getpid()


def wait_for(gate: str | Path, value: Any = None, ledger: str | Path | None = None) -> Any:
    """Return *value* once the file *gate* exists; say in *ledger* that the wait has begun."""
    if ledger is not None:
        note(ledger, value)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not os.path.exists(gate):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{gate} never appeared")
        time.sleep(0.002)
    return value


def sleep_then(seconds: float, value: Any = None) -> Any:
    time.sleep(seconds)
    return value


def noted(ledger: str | Path, value: Any, seconds: float = 0.0) -> Any:
    """Write *value* to the ledger, last for *seconds*, and return it."""
    note(ledger, value)
    if seconds:
        time.sleep(seconds)
    return value


def noted_then_wait(ledger: str | Path, gate: str | Path, value: int, waits_at: int) -> int:
    """Write *value* to the ledger; the call with *waits_at* waits for the gate as well."""
    note(ledger, value)
    return wait_for(gate, value) if value == waits_at else value


def enter_and_leave(ledger: str | Path, seconds: float) -> None:
    """Write ``+`` and ``-`` around some work: their running sum is how many run at a time."""
    note(ledger, "+")
    try:
        time.sleep(seconds)
    finally:
        note(ledger, "-")


def meet(folder: str | Path, name: object, parties: int) -> int:
    """Be there, wait until all *parties* are there at the same time, and return how many came."""
    Path(folder, str(name)).touch()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (present := len(os.listdir(folder))) < parties:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{present} of {parties} met")
        time.sleep(0.01)
    return present


def square_slowly(value: int, seconds: float) -> int:
    """Square a number; a negative one is an error that names it."""
    if seconds:
        time.sleep(seconds)
    if value < 0:
        raise ValueError(value)
    return value * value


def throw(error: BaseException) -> None:
    raise error


def throw_stop_iteration(value: Any) -> None:
    raise StopIteration(value)


async def square_later(value: int) -> int:
    """Square a number on an event loop; a negative one is an error that names it."""
    await asyncio.sleep(0.001)
    if value < 0:
        raise ValueError(value)
    return value * value


def echo_keywords(**keywords: Any) -> dict[str, Any]:
    return keywords


def echo(*args: Any, **keywords: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, keywords


def append_to(items: list[Any], item: Any) -> list[Any]:
    """Change the argument in place, and return it."""
    items.append(item)
    return items


def length_and_ends(data: bytes) -> tuple[int, bytes, bytes]:
    return len(data), data[:8], data[-8:]


def zeros(size: int) -> bytes:
    return bytes(size)


def lock() -> Any:
    """Return something that no pickle can carry."""
    return threading.Lock()


def surroundings(variable: str) -> tuple[str, list[str], str | None]:
    """Return the working folder, the import path and an environment variable of this process."""
    return os.getcwd(), sys.path, os.environ.get(variable)


def die_once(marker: str | Path, ledger: str | Path) -> str:
    """Kill the process that runs it, the first time."""
    note(ledger, "start")
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "survived"
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def hold_interpreter(ledger: str | Path, seconds: float) -> str:
    """Compute without ever letting another thread of the process run, for about *seconds*."""
    note(ledger, "start")
    deadline = time.monotonic() + seconds
    exponent = 400_000
    while time.monotonic() < deadline:
        # One C call which keeps the interpreter's lock; doubled until it lasts for long.
        began = time.monotonic()
        pow(3, exponent)
        if time.monotonic() - began < seconds / 4:
            exponent *= 2
    return "done"


class Tracked:
    """A value whose end can be seen through a weak reference."""


def make_tracked() -> Tracked:
    return Tracked()


# Exceptions that a call may raise ---------------------------------------------------------------


class Rich(Exception):
    """Has attributes besides its arguments."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class FalsyByBool(Exception):
    def __bool__(self) -> bool:
        return False


class FalsyByLength(Exception):
    def __len__(self) -> int:
        return 0


class TwoArguments(Exception):
    """Cannot be rebuilt from its ``args``: pickle calls the class with one argument."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")
        self.first, self.second = first, second


class KeywordOnly(Exception):
    """Cannot be rebuilt from its ``args``: pickle passes no keywords."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"because {reason}")
        self.reason = reason


class HoldsLock(Exception):
    """Cannot be pickled at all."""

    def __init__(self, text: str) -> None:
        super().__init__(text, threading.Lock())


class Unprintable(Exception):
    """Has neither a text nor a representation."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise RuntimeError("no representation")


def raise_rich() -> None:
    """Raise an error with a note, and a cause that has a cause."""
    try:
        try:
            raise KeyError("root")
        except KeyError as error:
            raise OSError(5, "middle") from error
    except OSError as error:
        rich = Rich(42, "top")
        rich.add_note("a note")
        rich.extra = ["an", "attribute"]  # type: ignore[attr-defined]
        raise rich from error


def raise_in_context() -> None:
    """Raise an error while another is handled."""
    try:
        raise KeyError("context")
    except KeyError:
        raise Rich(1, "while handling")  # noqa: B904


def raise_group() -> None:
    raise ExceptionGroup("several", [ValueError(1), ExceptionGroup("inner", [Rich(2, "deep")])])


def raise_two_arguments() -> None:
    raise TwoArguments("one", "two")


def raise_keyword_only() -> None:
    raise KeywordOnly(reason="it must")


def raise_holding_lock() -> None:
    raise HoldsLock("holds a lock")


def raise_unprintable() -> None:
    raise Unprintable


def raise_local() -> None:
    """Raise an exception whose class exists nowhere but in this call."""

    class OnlyHere(Exception):
        pass

    raise OnlyHere("made in the call")


def pending_files(folder: str | Path, numbers: Iterable[int]) -> list[int]:
    """Return the *numbers* that have no file in *folder*."""
    return [number for number in numbers if not Path(folder, str(number)).exists()]


def touch(path: str | Path) -> None:
    Path(path).touch()
