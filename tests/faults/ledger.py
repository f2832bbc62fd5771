"""The ledger: which call started and ended when, in a file outside of every server.

Each line is one atomic write: ``number attempt pid start|end time``. The time is the machine's
monotonic clock, which all its processes share.
"""

import os
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import distexec
from properties import calls


def work(ledger: str, number: int, seconds: float = 0.0) -> int:
    """Be a call: note the start, last for *seconds*, note the end, and return `expected`."""
    note_event(ledger, number, "start")
    if seconds:
        time.sleep(seconds)
    note_event(ledger, number, "end")
    return expected(number)


def expected(number: int) -> int:
    """What the call *number* returns: not the number of another one."""
    return number * number + 7


def note_event(ledger: str, number: int, event: str) -> None:
    """Write that the running call, the trial's *number*, starts or ends."""
    call = distexec.current_call()
    attempt = 0 if call is None else call.attempt
    calls.note(ledger, f"{number} {attempt} {os.getpid()} {event} {time.monotonic():.6f}")


class Execution(NamedTuple):
    """One start of a call."""

    number: int
    attempt: int
    pid: int


class Ledger:
    """Reads the file, as far as it has been written; one reader per thread."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._offset = 0
        #: Executions that began and have not ended, with the time of their start.
        self.running: dict[Execution, float] = {}
        self.starts: Counter[int] = Counter()
        self.ends: Counter[int] = Counter()
        #: Calls that started again after they had ended.
        self.repeated: Counter[int] = Counter()
        #: When calls were started, by number.
        self.started_at: dict[int, list[float]] = {}

    def read(self) -> "Ledger":
        """Take in what was written since the last time."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                written = file.read()
        except FileNotFoundError:
            return self
        whole = written[: written.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            self._enter(*line.split())
        return self

    def _enter(self, number: str, attempt: str, pid: str, event: str, at: str) -> None:
        execution = Execution(int(number), int(attempt), int(pid))
        if event == "end":
            self.running.pop(execution, None)
            self.ends[execution.number] += 1
            return
        if self.ends[execution.number]:
            self.repeated[execution.number] += 1
        self.running[execution] = float(at)
        self.starts[execution.number] += 1
        self.started_at.setdefault(execution.number, []).append(float(at))
