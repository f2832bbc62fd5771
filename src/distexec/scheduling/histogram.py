"""Durations counted in buckets, four to each doubling: totals are exact, quantiles within a tenth.

Counts can be added up over processes, nodes and hours, which quantiles cannot.
"""

from collections.abc import Mapping, MutableSequence, Sequence
from math import log2

#: Buckets from 2 ** -16 s (15 us), below which nothing is told apart, to 2 ** 12 s (68 minutes).
PER_DOUBLING = 4
_LEAST_EXPONENT, _MOST_EXPONENT = -16, 12
_ZERO = float(-_LEAST_EXPONENT * PER_DOUBLING)
_LEAST = 2.0**_LEAST_EXPONENT
BUCKETS = (_MOST_EXPONENT - _LEAST_EXPONENT) * PER_DOUBLING

#: Numbers that a histogram is made of: the buckets' counts, and all durations in microseconds.
WORDS = BUCKETS + 1


def bucket(seconds: float) -> int:
    """The bucket of a duration; shorter and longer ones go to the first and to the last."""
    if seconds <= _LEAST:
        return 0
    return min(int(PER_DOUBLING * log2(seconds) + _ZERO), BUCKETS - 1)


def bound(index: int) -> float:
    """The seconds at which a bucket ends, and the next one begins."""
    return float(2.0 ** ((index + 1 - _ZERO) / PER_DOUBLING))


def quantile(words: Sequence[int], share: float) -> float | None:
    """The seconds that *share* of the durations stay below; ``None`` if there are none."""
    counts = words[:BUCKETS]
    rank, seen = share * sum(counts), 0
    for index, count in enumerate(counts):
        seen += count
        if count and seen >= rank:
            return float(2.0 ** ((index + 0.5 - _ZERO) / PER_DOUBLING))
    return None


class Histogram:
    """Counts durations.

    Args:
        words: Where to count: a list, or memory that others read. One thread writes at a time.
    """

    __slots__ = ("words",)

    def __init__(self, words: MutableSequence[int] | memoryview | None = None) -> None:
        self.words: MutableSequence[int] | memoryview = [0] * WORDS if words is None else words

    @property
    def total(self) -> int:
        """How many durations were counted."""
        return sum(self.words[:BUCKETS])

    def add(self, seconds: float, count: int = 1) -> None:
        """Count so many durations: the same one, or their mean."""
        words = self.words
        words[bucket(seconds)] += count
        words[BUCKETS] += int(seconds * count * 1e6)

    def add_mean(self, durations: Sequence[float]) -> None:
        """Count many durations of a kind as their mean, at the cost of one."""
        if durations:
            self.add(sum(durations) / len(durations), len(durations))


def to_counts(name: str, words: Sequence[int]) -> dict[str, int]:
    """A histogram as counts with names, those that are not zero."""
    return {f"{name}:{index}": word for index, word in enumerate(words) if word}


def from_counts(name: str, counts: Mapping[str, int]) -> list[int]:
    """The histogram that `to_counts` took apart."""
    return [counts.get(f"{name}:{index}", 0) for index in range(WORDS)]
