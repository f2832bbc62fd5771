"""How urgent calls are, and whose turn it is: the higher first, and the low never starve.

A call has the priority that it was given. What counts is its *effective* priority: it rises while
the call waits, and on a crowded executor short calls count a little more, long and large ones a
little less. Both are bounded, so that a name keeps its meaning:

- Waiting adds one for each `AGE_SECONDS`, up to HIGH: nothing ages into URGENT.
- The crowd adds or takes one, and moves no call into URGENT or out of it.

Calls of the same priority keep their order, whatever they are. And of ten calls that are sent while
several priorities wait, one is the oldest of all: `SHARE` is what the lowest priority gets at
least, however many urgent calls come.
"""

import enum
from collections.abc import Sequence
from typing import NamedTuple


class Priority(enum.IntEnum):
    """Names for some of the priorities, which go from 0 to 9."""

    BACKGROUND = 1
    LOW = 3
    MEDIUM = 5
    HIGH = 8
    URGENT = 9


#: Seconds of waiting that count as much as one level of priority.
AGE_SECONDS = 10.0

#: Of so many calls that are sent while several priorities wait, one is the oldest of all.
SHARE = 10

#: Seconds of work waiting for each slot from which on an executor is crowded.
CROWDED_SECONDS = 1.0

#: On a crowded executor: share of that work up to which a call is short, above which it is long.
SHORT_SHARE, LONG_SHARE = 0.01, 0.5

#: Bytes from which on a call is large: they take a second of a slow network.
LARGE_BYTES = 16 * 1024 * 1024


class Effective(NamedTuple):
    """A call's effective priority, and what it is made of."""

    value: int
    base: int
    #: Added for waiting.
    age: int = 0
    #: Added or taken by the crowd.
    crowd: int = 0
    #: Whether it went before more urgent ones, as the oldest of all.
    by_share: bool = False

    def reasons(self) -> tuple[str, ...]:
        """What moved it, for people."""
        moved = {
            f"+{self.age} for waiting": self.age,
            "+1: it is short, and much waits": self.crowd > 0,
            "-1: it is long or large, and much waits": self.crowd < 0,
            f"its turn as the oldest, which one of {SHARE} calls is": self.by_share,
        }
        return tuple(reason for reason, counts in moved.items() if counts)


def effective(
    base: int,
    *,
    waited: float,
    backlog_seconds: float = 0.0,
    run_seconds: float | None = None,
    size: int = 0,
) -> Effective:
    """Say how urgent a call is by now.

    Args:
        base: The priority that it was given.
        waited: Seconds since it was submitted.
        backlog_seconds: Seconds of work that wait for each slot.
        run_seconds: What it lasts, as learned; ``None`` while nobody knows.
        size: Bytes that must travel for it.
    """
    if base >= Priority.URGENT:
        return Effective(base, base)
    age = max(0, min(int(waited / AGE_SECONDS), Priority.HIGH - base))
    crowd = 0
    if backlog_seconds >= CROWDED_SECONDS:
        run = 0.0 if run_seconds is None else run_seconds
        if size >= LARGE_BYTES or run > LONG_SHARE * backlog_seconds:
            crowd = -1
        elif run_seconds is not None and run <= SHORT_SHARE * backlog_seconds:
            crowd = 1
    value = max(0, min(base + age + crowd, Priority.HIGH))
    return Effective(value, base, age, crowd)


class Head(NamedTuple):
    """The first call of a line."""

    priority: int
    #: Counts submissions: the lower, the older.
    number: int


class Turns:
    """Whose turn it is, among lines of calls that may go. Not thread-safe."""

    def __init__(self) -> None:
        #: Calls that went before the oldest one, less `SHARE` - 1 for each that had its share.
        self._passed = 0

    def choose(self, heads: Sequence[Head]) -> tuple[int, bool]:
        """Say which line is next, and whether it is by its share: it is not the most urgent.

        Args:
            heads: The first call of each line; at least one.
        """
        places = range(len(heads))
        best = max(places, key=lambda place: (heads[place].priority, -heads[place].number))
        oldest = min(places, key=lambda place: heads[place].number)
        if best != oldest and self._passed >= SHARE - 1:
            return oldest, True
        return best, False

    def note(self, heads: Sequence[Head], chosen: int, count: int, *, by_share: bool) -> None:
        """Note that *count* calls of the chosen line go."""
        if by_share:
            self._passed -= (SHARE - 1) * count
        elif heads[chosen].number > min(head.number for head in heads):
            self._passed += count
