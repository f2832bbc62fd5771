"""Whom a free slot serves: woken for an executor, it comes to it, also late."""

from collections.abc import Callable
from typing import Any

from distexec.scheduling.priorities import Priority
from distexec.settings import Settings
from distexec.store.lease_port import Bid, LeaseStore
from distexec.store.port import ExecutorRef
from distexec.wire import places
from distexec.wire.records import WIRE_VERSION, Demand
from distexec.wire.refusals import Refusals
from distexec.wire.seal import Direction, Seal
from distexec.worker.claims import Claims
from distexec.worker.slot import pack_demand

from .worlds import QUEUE, Ring, exchange, take

SEAL = Seal(b"s" * 32)


def ask(ring: Ring, wanted: int, ref: ExecutorRef | None = None) -> None:
    """Ask for *wanted* leases, as the caller's dispatcher does."""
    ref = ref or ring.ref
    asked_at = ring.caller.beat([])
    demand = Demand(
        *(wanted, 100, places.PYTHON, WIRE_VERSION, asked_at, "", "", 0, 0, Priority.MEDIUM)
    )
    place = places.demand(QUEUE, ref.session, ref.executor)
    ring.caller.ask(QUEUE, ref, SEAL.seal(Direction.CONTROL, place, pack_demand(demand)))


def free_slot(ring: Ring, store: Any = None) -> Claims:
    """A slot that serves nobody."""
    return Claims(QUEUE, store or ring.world.slot(), SEAL, Settings(), Refusals(), None)


class Overtaken:
    """A slot whose first try to be admitted is overtaken by *another*."""

    def __init__(self, store: LeaseStore, another: Callable[[], None]) -> None:
        self._store, self._another = store, iter([another])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def admit(self, bid: Bid) -> bool:
        next(self._another, lambda: None)()
        return self._store.admit(bid)


def test_a_slot_that_comes_after_the_calls_serves_those_to_come(ring: Ring) -> None:
    """Its caller counts on it, and does not wake another for them."""
    lease = ring.lease("a")
    ring.put(1)
    ask(ring, 2)
    take(lease)
    assert exchange(lease, b"done", [1], 0) == []

    claim = free_slot(ring).next(set())

    assert claim is not None and claim.ref == ring.ref
    assert len(ring.lease_names()) == 2
    assert free_slot(ring).next(set()) is None, "it has as many as it asked for"


def test_whoever_has_calls_goes_before_whoever_has_none(ring: Ring) -> None:
    """Also if that one has fewer leases."""
    other = ring.ref._replace(executor="2")
    ring.caller.put_spec(other, b"spec")
    ring.lease("a")
    ring.put(1)
    for ref in (ring.ref, other):
        ask(ring, 2, ref)

    claims = [free_slot(ring).next(set()) for _ in range(2)]

    assert [claim and claim.ref for claim in claims] == [ring.ref, other]


def test_a_slot_that_was_overtaken_looks_again(ring: Ring) -> None:
    """It saw that one lease is asked for; two are, by the time that another slot is that one."""

    def overtake() -> None:
        ask(ring, 2)
        ring.lease("other", wanted=2)

    ring.put(1)
    ask(ring, 1)

    assert free_slot(ring, Overtaken(ring.world.slot(), overtake)).next(set()) is not None
    assert len(ring.lease_names()) == 2
