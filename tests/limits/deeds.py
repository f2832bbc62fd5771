"""What calls of these tests do. Importable, so that they travel by reference."""

import asyncio
import os
import signal
import threading
import time
from typing import Any

import distexec
from properties import calls
from ring.deeds import backtrack

#: Lets the twin's stuck calls go, which run in the process of the tests.
release = threading.Event()


# Calls that outlast their time ----------------------------------------------------------------


def sleep_long() -> None:
    time.sleep(calls.PATIENCE_SECONDS)


def wait_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=calls.PATIENCE_SECONDS)


async def sleep_on_a_loop() -> None:
    await asyncio.sleep(calls.PATIENCE_SECONDS)


def spin() -> None:
    """Compute in Python, so that any thread can be interrupted."""
    deadline = time.monotonic() + calls.PATIENCE_SECONDS
    while time.monotonic() < deadline:
        pass


def nap() -> None:
    """Sleep in small pieces, so that any thread can be interrupted."""
    deadline = time.monotonic() + calls.PATIENCE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.01)


class SlowToUnpickle:
    """Its arrival in the worker takes longer than any test allows."""

    def __reduce__(self) -> tuple[Any, ...]:
        return nap, ()


def never_give_in() -> None:
    """Catch the interruption, and go on."""
    deadline = time.monotonic() + calls.PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            sleep_long()
        except TimeoutError:
            continue


def answer_anyway() -> str:
    """Catch the interruption, and return something."""
    try:
        sleep_long()
    except TimeoutError:
        return "too late"
    return "slept"


def stay_stuck() -> None:
    """Wait where no thread can be interrupted."""
    release.wait(calls.PATIENCE_SECONDS)


def alarm_handler(*args: Any) -> str:
    """What SIGALRM does in this process, before and after calls with a limit."""
    return repr(signal.getsignal(signal.SIGALRM))


def pid_or_sleep(sleeps: bool) -> int:
    if sleeps:
        sleep_long()
    return os.getpid()


def note_stay(ledger: str, name: str, seconds: float) -> str:
    """Write who comes into this process, and who goes."""
    calls.note(ledger, f"{os.getpid()} + {name}")
    time.sleep(seconds)
    calls.note(ledger, f"{os.getpid()} - {name}")
    return name


def limited_sub_call(cluster: str | None) -> tuple[str, int, int]:
    """Submit a call with a limit to the executor's own cluster, and wait for it."""
    with distexec.DistributedExecutor(1, cluster=cluster) as executor:
        view = executor.options(timeout=0.2)
        error = view.submit(sleep_long).exception(timeout=calls.PATIENCE_SECONDS)
        pid = executor.options(timeout=20).submit(os.getpid).result(calls.PATIENCE_SECONDS)
    return type(error).__name__, os.getpid(), pid


# Calls that fail ------------------------------------------------------------------------------


def fail_until(ledger: str, attempt: int, error: BaseException) -> distexec.CurrentCall:
    """Raise *error* before the given attempt; note each one."""
    current = distexec.current_call()
    assert current is not None
    calls.note(ledger, f"{current.id} {current.attempt}")
    if current.attempt < attempt:
        raise error
    return current


def reject(ledger: str) -> None:
    calls.note(ledger, "start")
    raise distexec.Reject("an empty row")


def sleep_until(ledger: str, attempt: int) -> int:
    """Outlast any limit before the given attempt."""
    current = distexec.current_call()
    assert current is not None
    calls.note(ledger, current.attempt)
    if current.attempt < attempt:
        nap()
    return current.attempt


def die_then_fail_then_return(ledger: str) -> int:
    """End the process, then raise, then work."""
    current = distexec.current_call()
    assert current is not None
    calls.note(ledger, current.attempt)
    if current.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if current.attempt == 2:
        raise ConnectionError("once")
    return current.attempt


# Calls that are stopped -----------------------------------------------------------------------


def note_and_spin(ledger: str) -> None:
    calls.note(ledger, os.getpid())
    spin()


def note_and_backtrack(ledger: str) -> None:
    """Hold the interpreter's lock, so that only the end of the process stops it."""
    calls.note(ledger, os.getpid())
    backtrack(70)


def note_and_nap(ledger: str) -> None:
    calls.note(ledger, os.getpid())
    nap()


def note_number(ledger: str, number: int) -> int:
    calls.note(ledger, f"{number} {os.getpid()}")
    time.sleep(0.01)
    return number


# Calls that are given up ----------------------------------------------------------------------


def total(ledger: str, gate: str, numbers: Any) -> int:
    """Raise until the gate is open."""
    calls.note(ledger, "start")
    if not os.path.exists(gate):
        raise ConnectionError("the bank is closed")
    return int(sum(numbers))


def die_unless(gate: str) -> str:
    if not os.path.exists(gate):
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


class Canary:
    """Leaves a file wherever it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return _sing, (self.path,)


def _sing(path: str) -> "Canary":
    calls.note(path, os.getpid())
    return Canary(path)


def raise_after(canary: Canary) -> None:
    raise KeyError("x")
