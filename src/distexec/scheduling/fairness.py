"""Which executor a slot serves, and when it turns to another one.

::

                 a slot is free                        a call has ended
                       |                                      |
                       v                                      v
    the highest priority that waits          is somebody waiting who ranks above?  -- at once
    then the fewest leases                   an equal with fewer leases?           -- after a slice
    then whom this slot served least         lower work passed over for long?      -- for a turn

Leases are moved one by one, each by a slot that can spare it just then, and to no more than what
is due: a hundred slots that see the same figures at the same moment must not all do the same. So a
decision says up to how many leases the other one may come, and the store holds it to that.

Every figure is a guess from a handful of executors (`MOST_LOOKED_AT`), as good as a look at all.
"""

import math
import random
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

#: Executors that one decision looks at, by chance where more ask. Two would do in the long run (see
#: `distexec.scheduling.placement.choose`); this many find an urgent one among twenty at once.
MOST_LOOKED_AT: Final = 16

#: Seconds that a lease keeps its slot while equals with fewer leases wait. They share it if there
#: are several without any, but nobody gets less than the second figure: a change of executors takes
#: some milliseconds.
SLICE_SECONDS: Final = 1.0
LEAST_SLICE_SECONDS: Final = 0.05

#: Share of the slots that stays with work of lower priority while it waits. Where that is less than
#: one slot, each slot gives it this share of its time.
LOWER_SHARE: Final = 0.1

#: Seconds of such a turn, unless its call lasts longer.
TURN_SECONDS: Final = 0.1

#: Seconds after which half of the time that somebody had in a slot is forgotten, and what is left
#: of it when it counts for nothing.
MEMORY_SECONDS: Final = 10.0
FORGOTTEN_SECONDS: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """An executor that asks for slots, as one slot sees it."""

    name: Hashable
    #: The highest effective priority of its calls: 0 to 9.
    priority: int
    leases: int
    #: Leases that would all have something to do.
    wanted: int

    @property
    def is_waiting(self) -> bool:
        """Whether it could use another slot."""
        return self.leases < self.wanted


@dataclass(frozen=True, slots=True)
class Move:
    """To whom a slot may turn, and up to how many leases that one may come by it."""

    claimant: Claimant
    most: int
    #: Whether it is the turn of lower work: it lasts for a while, whoever waits.
    is_turn: bool = False


def fair_level(claimants: Iterable[Claimant], slots: int) -> float:
    """How many leases each may have so that *slots* are used up: those who want less have that.

    ``inf`` if there is enough for everybody.
    """
    left, wants = float(slots), sorted(each.wanted for each in claimants)
    for index, wanted in enumerate(wants):
        level = left / (len(wants) - index)
        if wanted > level:
            return level
        left -= wanted
    return math.inf


class Rota:
    """One slot's memory of whom it served, and its decisions. *now* is any clock, in seconds."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()
        #: Seconds in this slot, by executor; they fade.
        self._served: dict[Hashable, float] = {}
        self._faded_at = 0.0
        self._current: Hashable = None
        self._began = 0.0
        self._is_turn = False
        #: Since when its executor has more leases than an equal that waits; ``None`` if it has not.
        self._ahead_since: float | None = None
        #: Since when the slot passes over lower work that waits; ``None`` if it does not.
        self._passing_since: float | None = None
        #: Seconds that this must last before the next turn of lower work.
        self._patience = TURN_SECONDS / LOWER_SHARE - TURN_SECONDS

    def begin(self, name: Hashable, now: float, *, is_turn: bool = False) -> None:
        """Note that the slot serves *name* from now on."""
        self.end(now)
        self._current, self._began, self._is_turn = name, now, is_turn
        self._ahead_since = None
        if is_turn:
            self._passing_since = None

    def end(self, now: float) -> None:
        """Note that the slot serves nobody any more."""
        if self._current is None:
            return
        seconds = now - self._began
        fades = 0.5 ** (max(0.0, now - self._faded_at) / MEMORY_SECONDS)
        self._faded_at = now
        self._served[self._current] = self._served.get(self._current, 0.0) + seconds
        self._served = {
            name: time * fades
            for name, time in self._served.items()
            if time * fades > FORGOTTEN_SECONDS
        }
        if self._is_turn:
            # A call that takes longer than a turn is paid for: its share stays what it is.
            self._patience = max(seconds, TURN_SECONDS) * (1 / LOWER_SHARE - 1)
        self._current, self._is_turn = None, False

    def order(self, claimants: Sequence[Claimant], now: float) -> list[Move]:
        """Whom a free slot should serve, best first: the next one if a store refuses the first."""
        waiting = [each for each in claimants if each.is_waiting]
        if not waiting:
            return []
        top = max(each.priority for each in waiting)
        moves = [Move(each, each.wanted) for each in self._ranked(waiting)]
        turn = self._turn_of_lower(top, claimants, now)
        return moves if turn is None else [turn, *moves]

    def moves(self, current: Claimant, others: Iterable[Claimant], now: float) -> list[Move]:
        """To whom the slot should turn at this call boundary, best first; none: it stays."""
        others = list(others)
        if self._is_turn and now - self._began < TURN_SECONDS:
            return []
        everybody = [current, *others]
        higher = [each for each in others if each.is_waiting and each.priority > current.priority]
        rising = [
            Move(each, min(each.wanted, each.leases + room))
            for each in self._ranked(higher)
            if (room := _room_above(each.priority, everybody)) > 0
        ]
        if rising:
            return rising
        turn = self._turn_of_lower(current.priority, everybody, now)
        if turn is not None:
            return [turn]
        equals = [each for each in others if each.priority == current.priority]
        return self._moves_to_equals(current, equals, now)

    def _moves_to_equals(
        self, current: Claimant, equals: Sequence[Claimant], now: float
    ) -> list[Move]:
        """An equal gets what is due to it; where that is the same for both, they take turns."""
        waiting = [each for each in equals if each.is_waiting and each.leases < current.leases]
        if not waiting:
            self._ahead_since = None
            return []
        everybody = [current, *equals]
        level = fair_level(everybody, sum(each.leases for each in everybody))
        behind = [each for each in waiting if each.leases + 2 <= current.leases]
        if behind and now - self._began >= LEAST_SLICE_SECONDS:
            due = [(each, math.ceil(min(each.wanted, level))) for each in self._ranked(behind)]
            return [Move(each, most) for each, most in due if most > each.leases]
        # The more leases it has, the less one of them matters, and the rarer each is due to go. And
        # a lease that is about to go is still counted.
        without = sum(1 for each in waiting if not each.leases)
        length = SLICE_SECONDS * current.leases / max(without, 1)
        if self._ahead_since is None:
            self._ahead_since = now
        since = self._began if without else self._ahead_since
        if now - since >= max(length, LEAST_SLICE_SECONDS):
            return [Move(each, each.leases + 1) for each in self._ranked(waiting)]
        return []

    def _turn_of_lower(
        self, priority: int, claimants: Sequence[Claimant], now: float
    ) -> Move | None:
        """Whose turn it is among those below *priority* that wait, if this slot owes them one."""
        lower = [each for each in claimants if each.priority < priority and each.is_waiting]
        if not lower:
            return None
        if self._passing_since is None:
            self._passing_since = now
        if now - self._passing_since < self._patience:
            return None
        if _leases_below(priority, claimants) >= max(1, _kept_below(priority, claimants)):
            return None
        # Whom this slot served least, whatever its priority: it would starve otherwise.
        next_one = min(lower, key=lambda each: (self._served.get(each.name, 0.0), -each.priority))
        return Move(next_one, next_one.leases + 1, is_turn=True)

    def _ranked(self, claimants: Iterable[Claimant]) -> list[Claimant]:
        return sorted(
            claimants,
            key=lambda each: (
                -each.priority,
                each.leases,
                self._served.get(each.name, 0.0),
                self._chance.random(),
            ),
        )


def _leases_below(priority: int, claimants: Iterable[Claimant]) -> int:
    return sum(each.leases for each in claimants if each.priority < priority)


def _kept_below(priority: int, claimants: Iterable[Claimant]) -> int:
    """Leases that work below *priority* keeps; none where there are few: it gets turns instead."""
    return int(LOWER_SHARE * sum(each.leases for each in claimants if each.priority <= priority))


def _room_above(priority: int, claimants: Sequence[Claimant]) -> int:
    """How many leases of those below *priority* may go to it."""
    return _leases_below(priority, claimants) - _kept_below(priority, claimants)
