"""When the call of each child must have ended: memory that a node shares with its children.

A child writes its own cell, and the node's heart reads all: without a system call per call, and
also while a call holds its process's interpreter.
"""

import mmap
import os
import struct
from typing import Final

#: Process, number of the call, and the instant by `time.monotonic`; 0 for none.
_CELL: Final = struct.Struct("@QQd")

#: Children that have a cell. Memory that nobody writes to is never made.
_CELLS: Final = 65_536


class Deadlines:
    """One cell for each child, by its index in the pool."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _CELL.size * _CELLS)

    def set(self, index: int, number: int, deadline: float) -> None:
        """Note when this process must have ended call *number*; an instant of 0 takes it back."""
        if index < _CELLS:
            _CELL.pack_into(self._memory, index * _CELL.size, os.getpid(), number, deadline)

    def overdue(self, index: int, pid: int, now: float) -> int | None:
        """The number of the call that the child *pid* should have ended before *now*, if any."""
        owner, number, deadline = self._read(index)
        return number if owner == pid and 0 < deadline < now else None

    def left(self, index: int, pid: int, now: float) -> float:
        """Seconds until the child *pid* must have ended its call; infinite without a limit."""
        owner, _, deadline = self._read(index)
        return deadline - now if owner == pid and deadline else float("inf")

    def _read(self, index: int) -> tuple[int, int, float]:
        if index >= _CELLS:
            return 0, 0, 0.0
        pid, number, deadline = _CELL.unpack_from(self._memory, index * _CELL.size)
        return pid, number, deadline


#: Of the node that this process is or is a child of.
current = Deadlines()


class ChildWatchdog:
    """`distexec.worker.limit.Watchdog` of one child: the node's heart."""

    def __init__(self, index: int) -> None:
        self._index = index

    def watch(self, number: int, deadline: float) -> None:
        current.set(self._index, number, deadline)

    def rest(self) -> None:
        current.set(self._index, 0, 0.0)
