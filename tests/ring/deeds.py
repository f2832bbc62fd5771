"""What calls of these tests do. Importable, so that they travel by reference."""

import os
import re
import signal
import socket
import threading
import time
import traceback
from concurrent.futures import FIRST_COMPLETED, Future, as_completed, wait
from pathlib import Path
from typing import Any

import psutil

import distexec
from properties import calls

#: What holds the interpreter's lock from its first instruction to its last.
_CATASTROPHE = re.compile(r"(a|aa)+$")


def backtrack(length: int) -> None:
    """One call of C code that lets no other thread of the process run; two more take 2.6 times."""
    assert _CATASTROPHE.match("a" * length + "b") is None


def length_lasting(seconds: float) -> int:
    """How long the argument of `backtrack` must be to last about *seconds* on this machine."""
    length = 20
    while True:
        began = time.perf_counter()
        backtrack(length)
        elapsed = time.perf_counter() - began
        if elapsed > 0.05:
            break
        length += 1
    while elapsed < seconds:
        length += 1
        elapsed *= 1.618
    return length


def noted_backtrack(ledger: str, length: int) -> str:
    calls.note(ledger, "start")
    backtrack(length)
    calls.note(ledger, "end")
    return "done"


def step(waits_for: str | None, opens: str | None) -> None:
    """Wait for one file, then make another: short if the first is there already."""
    if waits_for is not None:
        calls.wait_for(waits_for)
    if opens is not None:
        Path(opens).touch()


# Calls that call ------------------------------------------------------------------------------

_mine: distexec.DistributedExecutor | None = None


def my_executor(workers: int | None = None) -> distexec.DistributedExecutor:
    """One executor for all calls of this process, as a module-global one would be."""
    global _mine
    if _mine is None:
        _mine = distexec.DistributedExecutor(workers)
    return _mine


def nest(depth: int, how: str) -> int:
    """Call itself on an executor of its own, *depth* times, and count the levels."""
    if depth == 0:
        return 0
    with distexec.DistributedExecutor(2) as executor:
        if how == "map":
            return 1 + max(executor.map(nest, [depth - 1] * 2, [how] * 2))
        futures = [executor.submit(nest, depth - 1, how) for _ in range(2)]
        return 1 + max(_ended(futures, how))


def _ended(futures: list[Future[int]], how: str) -> list[int]:
    if how == "wait":
        unfinished = set(futures)
        while unfinished:
            _, unfinished = wait(unfinished, timeout=25, return_when=FIRST_COMPLETED)
    if how == "as_completed":
        return [future.result() for future in as_completed(futures, timeout=25)]
    return [future.result(timeout=25) for future in futures]


def fibonacci(number: int, workers: int | None) -> int:
    """Recur on the one executor of the process."""
    if number < 2:
        return number
    executor = my_executor(workers)
    one = executor.submit(fibonacci, number - 1, workers)
    other = executor.submit(fibonacci, number - 2, workers)
    return one.result(timeout=4) + other.result(timeout=4)


def forget_my_executor() -> None:
    """Let go of it, so that nothing is left."""
    global _mine
    if _mine is not None:
        _mine.shutdown()
        _mine = None


def submit_and_leave(ledger: str, value: int) -> None:
    """Submit without waiting: nobody will ask for the result."""
    my_executor().submit(calls.noted, ledger, value)


# Where calls are ------------------------------------------------------------------------------


def whereabouts() -> tuple[list[int], list[str], bool]:
    """The processes above this one, the files on the stack, and whether this is the main thread."""
    parents = [process.pid for process in psutil.Process().parents()]
    stack = [frame.filename for frame in traceback.extract_stack()]
    return parents, stack, threading.current_thread() is threading.main_thread()


def note_pid(ledger: str, word: str) -> None:
    calls.note(ledger, f"{word} {os.getpid()}")


def die_always(ledger: str) -> None:
    calls.note(ledger, "start")
    os.kill(os.getpid(), signal.SIGKILL)


def exit_always(code: int) -> None:
    os._exit(code)


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def noted_wait(ledger: str, gate: str, value: Any) -> Any:
    """Say who waits, and wait."""
    calls.note(ledger, f"{value} {os.getpid()}")
    return calls.wait_for(gate, value)


def add_one(number: int) -> int:
    """As short as a call can be."""
    return number + 1


def compute_a_little(number: int) -> int:
    """Use the processor for half a millisecond."""
    end = time.thread_time() + 0.0005
    while time.thread_time() < end:
        pass
    return number


def rest_and_meet(seconds: float, place: str, group: int) -> int:
    """Wait for some time, and then for the others of the group."""
    time.sleep(seconds)
    with socket.socket(socket.AF_UNIX) as way:
        way.connect(place)
        way.sendall(b"%d" % group)
        assert way.recv(1), "the others did not come"
    return group


def rest_or_wait(seconds: float, gate: str | None = None) -> None:
    """Wait for some time, or for a file."""
    if gate is None:
        time.sleep(seconds)
    else:
        calls.wait_for(gate)


def odd_one_out(number: int, odd: int, deed: str) -> object:
    """Short, but for one input that does what its deed says."""
    if number == odd:
        if deed == "raise":
            raise ValueError(number)
        if deed == "lock":
            return threading.Lock()
        if deed == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "sleep":
            time.sleep(0.05)
    return number


def call_id(number: int) -> str:
    """The idempotency key of this very input."""
    call = distexec.current_call()
    assert call is not None
    return call.id
