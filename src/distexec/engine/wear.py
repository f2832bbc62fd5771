"""Which children of a node are to be replaced, by its options, and how they are told.

Celery looks at a child's memory and calls after each of its tasks, and a lease is one task that may
last for days. So the node's heart looks at the memory with each beat, and a child asks between two
calls: its lease then ends in good order, and what it took and did not start goes back uncharged.
"""

import mmap
from typing import Final

from distexec.scheduling.histogram import Histogram

#: Children that can be told. Memory that nobody writes to is never made.
_CELLS: Final = 65_536


class Retirements:
    """Memory that a node shares with its children: one cell for each, by its index in the pool."""

    def __init__(self) -> None:
        self._pids = memoryview(mmap.mmap(-1, 4 * _CELLS)).cast("I")

    def tell(self, index: int, pid: int) -> bool:
        """Tell the child *pid* to go; True if it was not told before."""
        if index >= _CELLS or self._pids[index] == pid:
            return False
        self._pids[index] = pid
        return True

    def is_told(self, index: int, pid: int) -> bool:
        """Whether the child *pid* was told to go."""
        return index < _CELLS and self._pids[index] == pid


#: Of the node that this process is or is a child of.
current = Retirements()


class Wear:
    """What wears out one child process.

    Args:
        tally: Where its calls are counted, with those of its predecessors.
        most_calls: Calls after which it is to be replaced; ``None``: any number.
    """

    def __init__(self, index: int, pid: int, tally: Histogram, most_calls: int | None) -> None:
        self._index, self._pid = index, pid
        self._tally, self._most = tally, most_calls
        self._before = tally.total

    @property
    def is_worn_out(self) -> bool:
        """Whether the process is to be replaced before it runs another call."""
        if self._most is not None and self._tally.total - self._before >= self._most:
            return True
        return current.is_told(self._index, self._pid)
