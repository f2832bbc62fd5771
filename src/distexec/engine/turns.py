"""Which queue each slot serves, and which slots are asked to leave theirs: memory shared with them.

Also the order in which a node asks its broker for wake-ups: what has too few slots comes first.
"""

import mmap
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from kombu.utils.scheduling import round_robin_cycle

#: Process, number of the queue from 1, and whether it is asked to leave it.
_PID, _QUEUE, _LEAVES = range(3)
_WORDS: Final = 3

#: Slots that have a cell. Memory that nobody writes to is never made.
_CELLS: Final = 16_384


class Turns:
    """One cell for each slot, by its index in the pool.

    Args:
        queues: Those of the node, in one order for all of its processes.
    """

    def __init__(self, queues: Iterable[str] = ()) -> None:
        self._queues = list(queues)
        words = memoryview(mmap.mmap(-1, 4 * (1 + _WORDS * _CELLS))).cast("I")
        #: How many cells may have been written to.
        self._used, self._words = words[:1], words[1:]
        #: Slots that each queue has beyond what it is given. Known in the node's main process only.
        self._surplus: Mapping[str, int] = {}

    def begin(self, index: int, queue: str) -> None:
        """Note that the slot serves *queue*."""
        if index < _CELLS and queue in self._queues:
            self._used[0] = max(self._used[0], index + 1)
            self._write(index, os.getpid(), self._queues.index(queue) + 1)

    def end(self, index: int) -> None:
        """Note that the slot serves no queue."""
        if index < _CELLS:
            self._write(index, 0, 0)

    def is_over(self, index: int) -> bool:
        """Whether the slot is to leave its queue at the next call boundary."""
        return index < _CELLS and bool(self._words[index * _WORDS + _LEAVES])

    def held(self, pids: Collection[int]) -> Counter[str]:
        """How many slots serve each queue, of those in living processes."""
        return Counter(queue for queue, _ in self._serving(pids))

    def indexes(self) -> dict[int, int]:
        """The slots that serve a queue, by process; of threads, the last one."""
        used = self._words[: self._used[0] * _WORDS].tolist()
        return {
            used[start + _PID]: start // _WORDS
            for start in range(0, len(used), _WORDS)
            if used[start + _PID]
        }

    def decide(self, given: Mapping[str, int], pids: Collection[int]) -> None:
        """Ask slots to leave queues that have more than they are *given*."""
        held = self.held(pids)
        self._surplus = {queue: held[queue] - given.get(queue, 0) for queue in self._queues}
        surplus = dict(self._surplus)
        for queue, index in self._serving(pids):
            self._words[index * _WORDS + _LEAVES] = surplus[queue] > 0
            surplus[queue] -= 1

    def order(self, queues: Iterable[str]) -> list[str]:
        """*queues*, those that lack most first."""
        return sorted(queues, key=lambda queue: self._surplus.get(queue, 0))

    def _serving(self, pids: Collection[int]) -> list[tuple[str, int]]:
        used = self._words[: self._used[0] * _WORDS].tolist()
        return [
            (self._queues[used[start + _QUEUE] - 1], start // _WORDS)
            for start in range(0, len(used), _WORDS)
            if used[start + _PID] in pids
        ]

    def _write(self, index: int, pid: int, queue: int) -> None:
        start = index * _WORDS
        self._words[start + _LEAVES] = 0
        self._words[start + _QUEUE], self._words[start + _PID] = queue, pid


#: Of the node that this process is or is a child of.
current = Turns()


class MissingFirst(round_robin_cycle):  # type: ignore[type-arg]  # generic in its stubs only
    """kombu's order of queues, in which it takes the next message: those that lack slots first."""

    def consume(self, n: int) -> list[str]:  # type: ignore[override]  # kombu's own is a list too
        """The first *n* queues."""
        return current.order(super().consume(n))
