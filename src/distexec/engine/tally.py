"""How many calls a node ran, and how long they took: memory that it shares with its children.

Each slot counts in a cell of its own, without a lock and without a system call; the node's heart
adds them up once a beat. A child that takes the place of another goes on counting where that one
ended.
"""

import mmap
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from distexec.scheduling.histogram import BUCKETS, WORDS, Histogram, quantile

#: Slots that have a cell. Memory that nobody writes to is never made.
_CELLS: Final = 4096
_WORD_BYTES: Final = 8

#: Seconds over which calls per second are told, and those over which run times are: long enough
#: that calls of some seconds show.
_RATE_SECONDS: Final = 10.0
_RUN_SECONDS: Final = 60.0


class Tallies:
    """One cell for each slot, by its index in the pool."""

    def __init__(self) -> None:
        words = memoryview(mmap.mmap(-1, _WORD_BYTES * (1 + WORDS * _CELLS))).cast("Q")
        #: How many cells may have been written to.
        self._used, self._words = words[:1], words[1:]

    def of_slot(self, index: int) -> Histogram:
        """Where the slot counts its calls. Those beyond the last cell count for nobody."""
        if index >= _CELLS:
            return Histogram()
        # Two slots may say so at the same moment, and one be lost until its next lease.
        self._used[0] = max(self._used[0], index + 1)
        return Histogram(self._words[index * WORDS : (index + 1) * WORDS])

    def total(self) -> list[int]:
        """The histograms of all slots together."""
        words, end = self._words, self._used[0] * WORDS
        cells = [words[start : start + WORDS].tolist() for start in range(0, end, WORDS)]
        return list(map(sum, zip(*cells, strict=True))) if cells else [0] * WORDS


#: Of the node that this process is or is a child of; a supervisor keeps them for the next node.
current = Tallies()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What a node reports of the calls that ended lately. Times are seconds."""

    calls_per_second: float
    #: Median time in the function, and what 95 % stay below; ``None`` if no call ended.
    run_p50: float | None
    run_p95: float | None

    def to_fields(self) -> dict[str, Any]:
        """As a node's record carries it: rounded, since it is sent every second."""
        return {
            "calls_per_second": float(f"{self.calls_per_second:.4g}"),
            "run_p50": None if self.run_p50 is None else float(f"{self.run_p50:.3g}"),
            "run_p95": None if self.run_p95 is None else float(f"{self.run_p95:.3g}"),
        }


class RateMeter:
    """Compares totals with earlier ones. Used by one thread.

    Args:
        counts: What was counted before *now* is nobody's rate: a node that died counted it.
    """

    def __init__(self, counts: Sequence[int], now: float) -> None:
        self._looks: deque[tuple[float, Sequence[int]]] = deque([(now, counts)])

    def read(self, counts: Sequence[int], now: float) -> Rates:
        """Return the rates up to *now*, when the totals are *counts*."""
        looks = self._looks
        while len(looks) > 1 and now - looks[1][0] >= _RUN_SECONDS:
            looks.popleft()
        oldest = looks[0][1]
        since, before = next((each for each in looks if now - each[0] <= _RATE_SECONDS), looks[-1])
        looks.append((now, counts))
        recent = [count - old for count, old in zip(counts, oldest, strict=True)]
        return Rates(
            calls_per_second=(sum(counts[:BUCKETS]) - sum(before[:BUCKETS]))
            / max(now - since, 1e-3),
            run_p50=quantile(recent, 0.5),
            run_p95=quantile(recent, 0.95),
        )
