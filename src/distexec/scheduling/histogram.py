"""Durations counted in buckets, four to each doubling: totals are exact, quantiles within a tenth.

Counts can be added up over processes, nodes and hours, which quantiles cannot.
"""

from collections.abc import MutableSequence, Sequence
from math import log2

#: Buckets from 2 ** -16 s (15 us), below which nothing is told apart, to 2 ** 12 s (68 minutes).
PER_DOUBLING = 4
_LEAST_EXPONENT, _MOST_EXPONENT = -16, 12
_ZERO = float(-_LEAST_EXPONENT * PER_DOUBLING)
_LEAST = 2.0**_LEAST_EXPONENT
BUCKETS = (_MOST_EXPONENT - _LEAST_EXPONENT) * PER_DOUBLING


def bucket(seconds: float) -> int:
    """The bucket of a duration; shorter and longer ones go to the first and to the last."""
    if seconds <= _LEAST:
        return 0
    return min(int(PER_DOUBLING * log2(seconds) + _ZERO), BUCKETS - 1)


def bound(index: int) -> float:
    """The seconds at which a bucket ends, and the next one begins."""
    return float(2.0 ** ((index + 1 - _ZERO) / PER_DOUBLING))


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The seconds that *share* of the durations stay below; ``None`` if there are none."""
    rank, seen = share * sum(counts), 0
    for index, count in enumerate(counts):
        seen += count
        if count and seen >= rank:
            return float(2.0 ** ((index + 0.5 - _ZERO) / PER_DOUBLING))
    return None


class Histogram:
    """Counts durations.

    Args:
        counts: Where to count: a list, or memory that others read. One thread writes at a time.
    """

    __slots__ = ("counts",)

    def __init__(self, counts: MutableSequence[int] | memoryview | None = None) -> None:
        self.counts: MutableSequence[int] | memoryview = [0] * BUCKETS if counts is None else counts

    @property
    def total(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    def add(self, seconds: float, count: int = 1) -> None:
        """Count so many durations: the same one, or their mean."""
        self.counts[bucket(seconds)] += count

    def add_mean(self, durations: Sequence[float]) -> None:
        """Count many durations of a kind as their mean, at the cost of one."""
        if durations:
            self.add(sum(durations) / len(durations), len(durations))
