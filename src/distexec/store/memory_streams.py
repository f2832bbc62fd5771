"""Call streams of the store's twin in memory."""

import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from distexec.store.lease_port import STARTS
from distexec.store.port import Held

#: Seconds that others wait for a reservation, as in ``lua/reply.lua``.
PATIENCE_SECONDS = 1.0


@dataclass(slots=True)
class _Claim:
    """An entry in the hands of a lease that has not started it: reserved, or given back."""

    lease: str
    held: Held
    since: float


@dataclass(slots=True)
class CallStream:
    """Call entries of one executor and queue: waiting in order, or held by a lease.

    Each method that takes gets the leases that were not ended. Guarded by the server's lock.
    """

    last: int = 0
    #: The last entry that was taken.
    taken: int = 0
    waiting: deque[Held] = field(default_factory=deque)
    #: Entry number to the lease that took it.
    holders: dict[int, str] = field(default_factory=dict)
    _reserved: _Claim | None = None
    _given_back: _Claim | None = None

    def put(self, entries: Iterable[Held]) -> None:
        """Add the entries that are not there."""
        for held in entries:
            if held.entry > self.last:
                self.last = held.entry
                self.waiting.append(held)

    def recall(self, entries: Sequence[int]) -> list[int]:
        """Remove those of these entries that nobody took, and return them."""
        self.waiting = deque(held for held in self.waiting if held.entry not in entries)
        return [entry for entry in entries if self.taken < entry <= self.last]

    def has_something(self, lease: str, leases: Collection[str]) -> bool:
        """Whether the lease would take something now."""
        if self._is_reserved(leases, but_for=lease):
            return False
        return bool(self.waiting) or self._is_given_back(leases)

    def take(self, lease: str, count: int, leases: Collection[str]) -> list[Held]:
        """Take up to so many entries that are there."""
        if self._is_reserved(leases, but_for=lease):
            return []
        given_back, self._given_back = self._given_back, None
        if given_back is not None and given_back.lease in leases:
            self.holders[given_back.held.entry] = lease
            return [given_back.held]
        return [self._take_next(lease) for _ in range(min(count, len(self.waiting)))]

    def reserve(self, lease: str, leases: Collection[str]) -> list[Held]:
        """Take the next entry, and let the others wait until `end_reservation`."""
        reserver = self._reserved and self._reserved.lease
        if reserver in leases or self._given_back is not None or not self.waiting:
            return []
        held = self._take_next(lease)
        self._reserved = _Claim(lease, held, time.monotonic())
        return [held]

    def end_reservation(self, lease: str, entry: int) -> None:
        """Let the others go on: the entry starts, or it is the next that is taken."""
        reserved = self._reserved
        if reserved is None or reserved.lease != lease:
            return
        self._reserved = None
        if entry != STARTS:
            self._given_back = reserved

    def _take_next(self, lease: str) -> Held:
        held = self.waiting.popleft()
        self.holders[held.entry], self.taken = lease, held.entry
        return held

    def _is_reserved(self, leases: Collection[str], *, but_for: str) -> bool:
        reserved = self._reserved
        return (
            reserved is not None
            and reserved.lease != but_for
            and reserved.lease in leases
            and time.monotonic() - reserved.since < PATIENCE_SECONDS
        )

    def _is_given_back(self, leases: Collection[str]) -> bool:
        return self._given_back is not None and self._given_back.lease in leases
