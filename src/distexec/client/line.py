"""Calls that are here: waiting their turn, or for the time of their next attempt.

Neither is thread-safe: their window has the lock.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Iterator

from distexec.client.calls import CallState, PendingCall
from distexec.wire.records import CallFlag

#: Bytes of payload above which a call travels alone: its neighbours would wait for its transfer.
ALONE_BYTES = 64 * 1024

#: Calls with one of these share neither an entry nor a process.
APART = CallFlag.SUSPECT | CallFlag.ALONE | CallFlag.GROUP


class Line:
    """Calls of one place, in the order to send.

    One that leaves from the middle keeps its place, which is skipped when it comes to the front:
    searching for it would make cancelling many slow. Whatever comes back goes to the front, so an
    old place is always behind the true one, and never taken for it.
    """

    def __init__(self) -> None:
        self._places: deque[PendingCall] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[PendingCall]:
        """Go through the calls in order, each once."""
        return iter(dict.fromkeys(call for call in self._places if call.state is CallState.WAITING))

    def add(self, call: PendingCall) -> None:
        """Let *call* wait behind all others."""
        self._places.append(call)
        self._count += 1

    def put_back(self, calls: list[PendingCall]) -> None:
        """Let *calls* wait before all others."""
        self._places.extendleft(reversed(calls))
        self._count += len(calls)

    def first(self) -> PendingCall | None:
        """The call whose turn it is, if any."""
        places = self._places
        while places:
            if places[0].state is CallState.WAITING:
                return places[0]
            places.popleft()
        return None

    def take(self, most: int) -> list[PendingCall]:
        """Take the call that `first` has just told, and those after it that may travel with it.

        A long loop in one place: all calls go through it.

        Args:
            most: Calls to take at most.
        """
        places, waiting = self._places, CallState.WAITING
        first = places.popleft()
        calls = [first]
        if most > 1 and not (first.flags & APART or len(first.payload) > ALONE_BYTES):
            function_id = first.function[0]
            while places and len(calls) < most:
                call = places[0]
                if call.state is waiting:
                    if (
                        call.function[0] != function_id
                        or call.flags & APART
                        or len(call.payload) > ALONE_BYTES
                    ):
                        break
                    calls.append(call)
                places.popleft()
        self._count -= len(calls)
        return calls

    def forget(self) -> None:
        """Count one call less: it waits no more, wherever it stood."""
        self._count -= 1

    def clear(self) -> None:
        """Let go of everything."""
        self._places.clear()
        self._count = 0


class Resting:
    """Calls between two attempts, by the instant of the next one."""

    def __init__(self) -> None:
        self._calls: list[tuple[float, int, PendingCall]] = []
        self._ties = itertools.count()

    def __iter__(self) -> Iterator[PendingCall]:
        """Go through the calls, in no order."""
        # Copied at one stroke: statistics ask without the lock.
        return iter([each[2] for each in self._calls.copy() if _rests(each[2])])

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, call: PendingCall, until: float) -> None:
        """Let *call* rest until the instant *until*."""
        heapq.heappush(self._calls, (until, next(self._ties), call))

    def pop_due(self, now: float) -> list[PendingCall]:
        """Take the calls whose rest is over."""
        due = []
        while self._calls and (self._calls[0][0] <= now or not _rests(self._calls[0][2])):
            call = heapq.heappop(self._calls)[2]
            if _rests(call):
                due.append(call)
        return due

    @property
    def next_due(self) -> float | None:
        """When the next rest is over."""
        return self._calls[0][0] if self._calls else None

    def clear(self) -> None:
        """Let go of everything."""
        self._calls.clear()


def _rests(call: PendingCall) -> bool:
    return call.state is CallState.RESTING
