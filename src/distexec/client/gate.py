"""A gate: where an executor's calls wait for a limit that the whole cluster keeps.

::

    submit --> permit gate --> rate gate --> sent     The one gate, or the other, or both.
                    ^                          |
                    +-- returned, lost, again -+

A call that waits here holds no slot, and stands in nobody's way. A gate knows what to ask of the
server and what its answers mean; `distexec.client.limiter` asks. It is not thread-safe.
"""

from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

from distexec.client.calls import CallState, PendingCall, PermitRule, RateRule
from distexec.scheduling.permits import PATIENCE, Permits
from distexec.scheduling.priorities import Head, Turns
from distexec.scheduling.rate_limits import HORIZON, MICROSECONDS, Grants

#: Seconds before its last instant at which a gate asks for more: a trip takes some of them.
LEAD_SECONDS: Final = HORIZON / MICROSECONDS / 2

#: Seconds after which an instant has passed.
STALE_SECONDS: Final = HORIZON / MICROSECONDS

#: Seconds between two questions of one who waits for a permit: it is told when it may have one, but
#: that may be lost.
LOOK_SECONDS: Final = PATIENCE / MICROSECONDS / 4

#: Seconds between two times that permits are renewed: so soon has a server those that it lost.
RENEW_SECONDS: Final = 1.0


class RateQuestion(NamedTuple):
    """What `LimitStore.grant` is asked."""

    asked: int
    #: Instants that nobody here will use, from and up to.
    unused: tuple[int, int]


class PermitQuestion(NamedTuple):
    """What `LimitStore.share_out` is asked."""

    held: int
    wanted: int


class Gate:
    """Calls that wait for one limit, in their order: the more urgent ones first."""

    def __init__(self, key: str) -> None:
        self.key = key
        #: Calls that passed, and are neither settled nor back.
        self.out = 0
        #: By priority. As in a line, a call that leaves from the middle keeps its place.
        self._lanes: dict[int, deque[PendingCall]] = {}
        self._turns = Turns()
        self._count = 0
        #: How many were submitted by calls of the same executor.
        self._nested = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[PendingCall]:
        places = chain.from_iterable(self._lanes.values())
        return iter(dict.fromkeys(call for call in places if call.gate is self))

    def add(self, call: PendingCall, *, again: bool) -> None:
        """Let *call* wait: behind the others, or before them if it was through once."""
        call.state, call.gate = CallState.LIMITED, self
        lane = self._lanes.setdefault(call.place.priority, deque())
        (lane.appendleft if again else lane.append)(call)
        self._count += 1
        self._nested += call.parent is not None

    def leave(self, call: PendingCall) -> None:
        """Count *call* no more, wherever it stood."""
        call.gate = None
        self._count -= 1
        self._nested -= call.parent is not None

    def pop(self) -> PendingCall | None:
        """Let the next call through, if there is one."""
        firsts = [call for lane in self._lanes.values() if (call := self._first(lane)) is not None]
        if not firsts:
            return None
        heads = [Head(call.place.priority, call.number) for call in firsts]
        chosen, by_share = self._turns.choose(heads)
        self._turns.note(heads, chosen, 1, by_share=by_share)
        call = firsts[chosen]
        self._lanes[call.place.priority].popleft()
        self.leave(call)
        self.out += 1
        call.passed = (*call.passed, self)
        return call

    def _first(self, lane: deque[PendingCall]) -> PendingCall | None:
        while lane and lane[0].gate is not self:
            lane.popleft()
        return lane[0] if lane else None

    def clear(self) -> None:
        """Let go of everything."""
        self._lanes.clear()
        self._count = self._nested = self.out = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be remembered of it."""
        return not (self._count or self.out)

    def due(self, limit: int) -> float:
        """When to look again."""
        raise NotImplementedError

    def _room(self, limit: int) -> int:
        """How many calls should go through as soon as they may.

        Args:
            limit: Most calls of the executor that run at the same time: more would only wait for a
                slot. Not for calls of its own calls, which may wait for them.
        """
        return self._count if self._nested else max(0, min(self._count, limit - self.out))


class RateGate(Gate):
    """Calls that wait for their instant."""

    def __init__(self, rule: RateRule) -> None:
        super().__init__(rule.key or "")
        self.interval = rule.interval
        #: Instants that are ours: by our clock, and by the server's.
        self._instants: deque[tuple[float, int]] = deque()

    def __str__(self) -> str:
        rate = MICROSECONDS / self.interval
        return f"rate limit {self.key!r} ({rate:.3g}/s)"

    @property
    def is_idle(self) -> bool:
        return super().is_idle and not self._instants

    def question(self, now: float, limit: int) -> RateQuestion | None:
        """What to ask the server now, if anything."""
        instants = self._instants
        wanted = self._room(limit)
        unused = (0, 0)
        if len(instants) > wanted:
            surplus = [instants.pop()[1] for _ in range(len(instants) - wanted)]
            unused = surplus[-1], surplus[0] + self.interval
        asked = wanted - len(instants)
        if instants and instants[-1][0] - now > LEAD_SECONDS:
            asked = 0
        return RateQuestion(asked, unused) if asked or unused[1] else None

    def note(self, grants: Grants, now: float) -> None:
        """Keep what the server answered, at *now*: later than by its clock, so never too early."""
        for n in range(grants.calls):
            instant = grants.first + n * self.interval
            self._instants.append((now + (instant - grants.now) / MICROSECONDS, instant))

    def pass_due(self, now: float) -> list[PendingCall]:
        """Let those through whose instant has come.

        Of instants that passed while this process slept, one is used: else all that it missed would
        go at once. One, since a busy machine may always be late.
        """
        due = []
        while self._instants and self._instants[0][0] <= now:
            due.append(self._instants.popleft()[0])
        fresh = [at for at in due if now - at < STALE_SECONDS]
        # One for which there is no call is lost: it was cancelled meanwhile.
        return [call for _ in fresh or due[:1] if (call := self.pop()) is not None]

    def due(self, limit: int) -> float:
        """When to look again."""
        if not self._instants:
            return 0.0 if self._room(limit) else float("inf")
        first, last = self._instants[0][0], self._instants[-1][0]
        return min(first, last - LEAD_SECONDS) if self._room(limit) > len(self._instants) else first


class PermitGate(Gate):
    """Calls that wait for a permit, which they hold until they are settled, or back."""

    def __init__(self, rule: PermitRule) -> None:
        super().__init__(rule.key or "")
        #: Most of them together, in the whole cluster.
        self.most = rule.most
        #: What the server knows of us.
        self._told = PermitQuestion(0, 0)
        self._due = 0.0

    def __str__(self) -> str:
        return f"concurrency limit {self.key!r} ({self.most} together)"

    @property
    def is_idle(self) -> bool:
        return super().is_idle and self._told == (0, 0)

    def question(self, now: float, limit: int) -> PermitQuestion | None:
        """What to tell the server now, and ask of it, if anything."""
        question = PermitQuestion(self.out, self._room(limit))
        return question if question != self._told or now >= self._due else None

    def note(self, question: PermitQuestion, permits: Permits, now: float) -> list[PendingCall]:
        """Let those through that the server answered with."""
        held, wanted = question.held + permits.granted, question.wanted - permits.granted
        self._told = PermitQuestion(held, wanted)
        self._due = now + (LOOK_SECONDS if wanted else RENEW_SECONDS if held else float("inf"))
        calls = (self.pop() for _ in range(permits.granted))
        return [call for call in calls if call is not None]

    def nudge(self) -> None:
        """Ask soon: there may be a permit for one who waits."""
        if self._told.wanted:
            self._due = 0.0

    def due(self, limit: int) -> float:
        """When to look again."""
        return self._due if (self.out, self._room(limit)) == self._told else 0.0
