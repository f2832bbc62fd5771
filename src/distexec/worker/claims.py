"""Who asks for a slot, and whom it serves next: `distexec.scheduling.fairness` decides, the store
holds everybody to it."""

import secrets
import time
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from distexec.scheduling.fairness import MOST_LOOKED_AT, Claimant, Move, Rota
from distexec.settings import Settings
from distexec.store.lease_port import Bid, LeaseStore
from distexec.store.port import ExecutorRef
from distexec.wire.refusals import Refusals
from distexec.wire.seal import Seal
from distexec.worker.demands import read_demands

#: Executors that a free slot looks at, and how often if none of those has work for it.
MOST_FOR_A_FREE_SLOT: Final = 64
LOOKS_OF_A_FREE_SLOT: Final = 3

#: Seconds between two looks of a slot that others ask for too: twenty times as long as a look is,
#: that is five percent of the time, within these bounds.
LOOK_SECONDS: Final = 0.02
LONGEST_LOOK_SECONDS: Final = 0.2
LOOK_COST: Final = 20


class Claim(NamedTuple):
    """A lease that this slot was admitted as, and has yet to serve."""

    ref: ExecutorRef
    lease: str
    is_turn: bool = False


class Claims:
    """One slot's view of the executors that ask for its queue. Used by one thread at a time.

    Args:
        share: Most leases that the node may hold at a time; ``None`` for no limit.
    """

    def __init__(
        self,
        queue: str,
        store: LeaseStore,
        seal: Seal,
        settings: Settings,
        refusals: Refusals,
        share: int | None,
    ) -> None:
        self._queue, self._store, self._seal = queue, store, seal
        self._settings, self._refusals, self._share = settings, refusals, share
        self._rota = Rota()
        #: Whom the slot serves now, and whom it was admitted by last.
        self._current = self._next = Claimant(name=None, priority=0, leases=0, wanted=0)
        self._claimed: Claim | None = None
        #: When to look again, and how many asked at the last look.
        self._look_at, self._seen = 0.0, 0
        #: Most calls that each of those seen at the last look runs at a time.
        self._limits: dict[ExecutorRef, int] = {}

    def next(self, fruitless: Collection[ExecutorRef]) -> Claim | None:
        """Be admitted as a lease of whoever should have this slot; ``None`` if nobody wants it.

        Args:
            fruitless: Executors that had nothing to do for it a moment ago.
        """
        claimed, self._claimed = self._claimed, None
        if claimed is not None:
            self._store.turn(claimed.ref, self._queue, claimed.lease)
            return self._begin(claimed)
        for _ in range(LOOKS_OF_A_FREE_SLOT):
            busy, idle = self._look(MOST_FOR_A_FREE_SLOT)
            was_refused = False
            for found in (busy, idle):
                eligible = [each for each in found if each.name not in fruitless]
                for move in self._rota.order(eligible, time.monotonic()):
                    claim = self._admit(move, is_free=True)
                    if claim is not None:
                        return self._begin(claim)
                    was_refused = True
            # Who refused has got another slot since, and may have asked for more since.
            if not was_refused and len(busy) < MOST_FOR_A_FREE_SLOT:
                break
        return None

    def end(self) -> None:
        """Note that the lease is over."""
        self._rota.end(time.monotonic())

    def drop(self) -> None:
        """Give up a claim that will not be served."""
        claimed, self._claimed = self._claimed, None
        if claimed is not None:
            self._store.turn(claimed.ref, self._queue, claimed.lease)
            self._store.leave(force=True)

    def must_turn(self, *, is_free: bool) -> bool:
        """Whether the slot leaves its executor at this call boundary, to serve another one.

        Costs nothing while nobody else asks for the queue.

        Args:
            is_free: Nothing else runs in the slot: it has claimed its next lease then.
        """
        if self._claimed is not None:
            return True
        if not self._is_due() or self._store.asking <= 1:
            return False
        others = self._look_at_others()
        moves = self._rota.moves(self._current, others, time.monotonic())
        return bool(moves) if not is_free else self._claim(moves)

    def is_wanted(self) -> bool:
        """Whether another executor can use the slot, which is idle: it was claimed then."""
        if self._claimed is not None:
            return True
        if not self._is_due() or not self._store.asking:
            return False
        return self._claim(self._rota.order(self._look_at_others(), time.monotonic()))

    def _is_due(self) -> bool:
        """Whether it is time to look again: at once where somebody else has come."""
        asking, seen = self._store.asking, self._seen
        self._seen = min(asking, seen)
        return asking > seen or time.monotonic() >= self._look_at

    def _begin(self, claim: Claim) -> Claim:
        self._current = self._next
        self._rota.begin(claim.ref, time.monotonic(), is_turn=claim.is_turn)
        return claim

    def _claim(self, moves: Iterable[Move]) -> bool:
        for move in moves:
            self._claimed = self._admit(move, is_free=False)
            if self._claimed is not None:
                return True
        return False

    def _admit(self, move: Move, *, is_free: bool) -> Claim | None:
        ref = move.claimant.name
        assert isinstance(ref, ExecutorRef)
        lease = secrets.token_hex(6)
        verb = self._store.admit if is_free else self._store.claim
        share = self._share
        if share is not None and not is_free:
            share += 1  # The slot gives one back for it.
        if not verb(Bid(ref, self._queue, lease, self._limits[ref], move.most, share)):
            return None
        self._next = replace(move.claimant, leases=move.claimant.leases + 1)
        return Claim(ref, lease, move.is_turn)

    def _look_at_others(self) -> list[Claimant]:
        began = time.monotonic()
        found, _ = self._look(MOST_LOOKED_AT)
        now = time.monotonic()
        pause = min(LOOK_COST * (now - began), LONGEST_LOOK_SECONDS)
        self._look_at, self._seen = now + max(pause, LOOK_SECONDS), self._store.asking
        others = []
        for each in found:
            if each.name == self._current.name:
                self._current = each
            else:
                others.append(each)
        return others

    def _look(self, most: int) -> tuple[list[Claimant], list[Claimant]]:
        """Those that ask for the queue and that this slot can serve: with calls for it, without.

        The latter's calls ended before all who were woken for them had come. Their caller counts
        on this slot for its next ones, and does not wake another at once.
        """
        busy: list[Claimant] = []
        idle: list[Claimant] = []
        self._limits = {}
        for ref, demand, leases, entries in read_demands(
            self._store, self._queue, self._seal, self._settings, self._refusals, most=most
        ):
            self._limits[ref] = demand.limit
            claimant = Claimant(
                name=ref, priority=demand.priority, leases=leases, wanted=demand.wanted
            )
            (busy if entries else idle).append(claimant)
        return busy, idle
