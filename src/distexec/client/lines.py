"""The lines in which calls wait: one for each place, and whose turn it is among them."""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from distexec.client.calls import PendingCall, Place
from distexec.client.line import Line
from distexec.scheduling.priorities import Effective, Head, Turns

#: Says how urgent a call is by now.
Judge = Callable[[PendingCall], Effective]


class Turn(NamedTuple):
    """A line whose first call may go."""

    place: Place
    line: Line
    first: PendingCall
    #: How urgent that is; ``None`` where it has no rival.
    effective: Effective | None = None
    heads: Sequence[Head] = ()
    chosen: int = 0


class Lines:
    """All calls of an executor that wait for their turn. Its window has the lock."""

    def __init__(self) -> None:
        self._lines: dict[Place, Line] = {}
        self._turns = Turns()
        self._count = 0
        #: Waiting calls that were sent before: the reply to that may still come.
        self.again: dict[int, PendingCall] = {}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[PendingCall]:
        return itertools.chain.from_iterable(self._lines.values())

    def add(self, call: PendingCall) -> None:
        """Let *call* wait behind the others of its place."""
        self._line(call.place).add(call)
        self._count += 1

    def put_back(self, calls: Iterable[PendingCall]) -> None:
        """Let *calls*, oldest first, wait before the others of their places."""
        back: dict[Place, list[PendingCall]] = {}
        for call in calls:
            back.setdefault(call.place, []).append(call)
            self._count += 1
        for place, group in back.items():
            self._line(place).put_back(group)

    def forget(self, call: PendingCall) -> None:
        """Count *call* no more: it left from wherever it stood."""
        self._lines[call.place].forget()
        self.again.pop(call.number, None)
        self._count -= 1

    def clear(self) -> None:
        """Let go of everything."""
        self._lines.clear()
        self.again.clear()
        self._count = 0

    def take(self, turn: Turn, most: int) -> list[PendingCall]:
        """Take the call whose *turn* it is, and at most so many that may travel with it."""
        calls = turn.line.take(most)
        self._count -= len(calls)
        if turn.effective is not None:
            self._turns.note(turn.heads, turn.chosen, len(calls), by_share=turn.effective.by_share)
        for call in calls:
            call.effective = turn.effective
            if self.again:
                self.again.pop(call.number, None)
        return calls

    def turn(
        self, begin_to_judge: Callable[[], Judge], blocked: Collection[Place] = ()
    ) -> Turn | None:
        """Say whose turn it is; ``None`` if no call of a place that is not *blocked* waits.

        Args:
            begin_to_judge: Called only where several places compete.
        """
        if not self._count:
            return None
        turns = [
            Turn(place, line, first)
            for place, line in self._lines.items()
            if place not in blocked and (first := line.first()) is not None
        ]
        if len(turns) <= 1:
            return turns[0] if turns else None
        judge = begin_to_judge()
        verdicts = [judge(turn.first) for turn in turns]
        heads = [
            Head(verdict.value, turn.first.number)
            for turn, verdict in zip(turns, verdicts, strict=True)
        ]
        chosen, by_share = self._turns.choose(heads)
        effective = verdicts[chosen]._replace(by_share=by_share)
        return turns[chosen]._replace(effective=effective, heads=heads, chosen=chosen)

    def firsts(self) -> list[PendingCall]:
        """The first call of each line."""
        return [first for line in self._lines.values() if (first := line.first()) is not None]

    def places(self) -> dict[Place, int]:
        """How many calls wait for each place."""
        return {place: len(line) for place, line in self._lines.items() if len(line)}

    def _line(self, place: Place) -> Line:
        line = self._lines.get(place)
        if line is None:
            if len(self._lines) > 1:
                # Programs that name a new queue now and then must not leave a line for each.
                self._lines = {key: each for key, each in self._lines.items() if len(each)}
            line = self._lines[place] = Line()
        return line
