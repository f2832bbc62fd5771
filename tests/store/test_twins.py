"""Both stores take the same random verbs, and must never answer differently.

After hypothesis' own test of its Redis database: one state machine, two implementations.
"""

import itertools
import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from distexec.store.endpoint import Endpoint
from distexec.store.lease_port import STARTS, Bid, LeaseStore, Parcel
from distexec.store.port import LeaseRecord

from .worlds import MemoryWorld, RedisWorld, Ring, exchange, take

QUEUES = st.sampled_from(["a", "b"])
DIGESTS = st.sampled_from([bytes([n]) * 16 for n in range(3)])
SMALL = st.integers(0, 6)
NAMES = st.sampled_from([bytes([n]) * 16 for n in range(3)])


class Twins(RuleBasedStateMachine):
    """One session on each implementation; a lease is a pair of leases."""

    endpoint: Endpoint

    leases = Bundle("leases")

    @initialize()
    def begin(self) -> None:
        self.redis = RedisWorld(self.endpoint)
        self.twins = [Ring(world) for world in (MemoryWorld(), self.redis)]
        self.lookers = [ring.world.slot() for ring in self.twins]
        self.twins[1].caller.letters.drop("abc")  # They are the server's, not the session's.
        self.names = itertools.count()
        self.held: dict[str, set[int]] = {}
        self.last = dict.fromkeys("ab", 0)
        self.slots: dict[str, tuple[str, list[LeaseStore]]] = {}
        self.closed = False
        self.replies = 0

    def both(self, *answers: object) -> object:
        """What both said."""
        memory, redis = answers
        assert memory == redis
        return redis

    @precondition(lambda self: not self.closed)
    @rule(queue=QUEUES, numbers=st.lists(st.integers(1, 30), max_size=5).map(sorted))
    def put(self, queue: str, numbers: list[int]) -> None:
        self.both(*(ring.put(*numbers, queue=queue) for ring in self.twins))
        self.last[queue] = max(self.last[queue], *numbers, 0)

    @precondition(lambda self: not self.closed)
    @rule(queue=QUEUES, numbers=st.lists(st.integers(1, 30), unique=True, max_size=6))
    def recall(self, queue: str, numbers: list[int]) -> None:
        self.both(*(sorted(r.caller.recall(r.ref, queue, numbers)) for r in self.twins))

    # A real server admits to a closed executor of a living session; such a lease finds no spec.
    @precondition(lambda self: not self.closed)
    @rule(target=leases, queue=QUEUES, limit=SMALL, wanted=SMALL)
    def admit(self, queue: str, limit: int, wanted: int) -> object:
        name = f"lease{next(self.names)}"
        slots = [ring.world.slot() for ring in self.twins]
        admitted = self.both(
            *(
                slot.admit(Bid(ring.ref, queue, name, limit=limit, wanted=wanted))
                for slot, ring in zip(slots, self.twins, strict=True)
            )
        )
        if admitted:
            self.held[name], self.slots[name] = set(), (queue, slots)
        return (name, queue, slots) if admitted else None

    @precondition(lambda self: not self.closed)
    @rule(target=leases, lease=consumes(leases), queue=QUEUES, limit=SMALL, wanted=SMALL)
    def claim_and_turn(self, lease: object, queue: str, limit: int, wanted: int) -> object:
        if not self.alive(lease):
            return lease
        name = f"lease{next(self.names)}"
        slots = lease[2]
        claimed = self.both(
            *(
                slot.claim(Bid(ring.ref, queue, name, limit=limit, wanted=wanted))
                for slot, ring in zip(slots, self.twins, strict=True)
            )
        )
        if not claimed:
            return lease
        self.both(*(slot.reply(Parcel(None, sorted(self.held[lease[0]]))) for slot in slots))
        self.both(*(slot.leave(force=True) for slot in slots))
        del self.held[lease[0]]
        self.held[name], self.slots[name] = set(), (queue, slots)
        for slot, ring in zip(slots, self.twins, strict=True):
            slot.turn(ring.ref, queue, name)
        return name, queue, slots

    def alive(self, lease: object) -> bool:
        return lease is not None and lease[0] in self.held

    @rule(lease=leases, count=st.integers(1, 4))
    def take(self, lease: object, count: int) -> None:
        # One that was ended takes differently: the real one leaves a ghost (test_verbs has it).
        # An idle server is slow to say that there is nothing: it looks ten times a second.
        if self.alive(lease) and self.both(*(slot.backlog() for slot in lease[2])):
            name, _, slots = lease
            taken = self.both(*(take(slot, count) or [] for slot in slots))
            self.held[name].update(taken)

    @rule(lease=leases, data=st.data(), frame=st.sampled_from([None, b"one", b"two"]))
    def reply(self, lease: object, data: st.DataObject, frame: bytes | None) -> None:
        if lease is None:
            return
        name, _, slots = lease
        held = sorted(self.held.get(name, ()))
        finished = data.draw(st.lists(st.sampled_from(held), unique=True)) if held else []
        heard = self.both(*(slot.reply(Parcel(frame, finished)) for slot in slots))
        assert heard == self.alive(lease)
        if heard:
            self.held[name].difference_update(finished)
            self.replies += frame is not None

    @rule(lease=leases, count=st.integers(1, 4), data=st.data())
    def exchange(self, lease: object, count: int, data: st.DataObject) -> None:
        if lease is None:
            return
        name, _, slots = lease
        held = sorted(self.held.get(name, ()))
        finished = data.draw(st.lists(st.sampled_from(held), unique=True)) if held else []
        # The real one cannot wait for a stream that is not there: such a lease has ended.
        waits = self.both(*(slot.backlog() for slot in slots))
        timeout = data.draw(st.sampled_from([0.0, 0.005])) if waits else 0.0
        taken = self.both(*(exchange(slot, b"one", finished, count, timeout) for slot in slots))
        assert (taken is not None) == self.alive(lease)
        if taken is not None:
            self.held[name].difference_update(finished)
            self.held[name].update(taken)
            self.replies += 1

    @rule(lease=leases, is_late=st.booleans(), data=st.data())
    def reserve(self, lease: object, is_late: bool, data: st.DataObject) -> None:
        if not self.alive(lease):
            return
        name, queue, (memory, redis) = lease
        beside = {n: slots for n, (q, slots) in self.slots.items() if q == queue and n in self.held}
        more = range(self.last[queue] + 1, self.last[queue] + len(beside) + 2)
        self.put(queue, list(more))
        for other, slots in beside.items():
            # The real one refuses while some lease may wait on the stream itself.
            self.held[other].update(self.both(*(exchange(slot, None, [], 1) for slot in slots)))
        taken = redis.reserve(100)
        if not taken:
            return
        assert memory.reserve(100) == taken
        reserved = taken[0].entry
        self.held[name].add(reserved)
        for other, slots in beside.items():
            if other != name:
                assert self.both(*(exchange(slot, None, [], 1) for slot in slots)) == []
        end = reserved if is_late else STARTS
        self.both(*(slot.reply(Parcel(None, [], end)) for slot in (memory, redis)))
        if is_late:
            taker = data.draw(st.sampled_from(sorted(beside)))
            found = self.both(*(exchange(slot, None, [], 9) for slot in beside[taker]))
            assert found == [reserved]
            self.held[name].discard(reserved)
            self.held[taker].add(reserved)

    @rule(lease=leases, threads=st.integers(1, 5), limit=st.integers(1, 6))
    def widen(self, lease: object, threads: int, limit: int) -> None:
        if lease is not None:
            self.both(*(slot.widen(threads, limit) for slot in lease[2]))

    @rule(lease=leases)
    def look(self, lease: object) -> None:
        if self.alive(lease):
            self.both(*(slot.backlog() for slot in lease[2]))
            self.both(*(slot.spec() for slot in lease[2]))

    @rule(lease=leases, digest=DIGESTS)
    def function(self, lease: object, digest: bytes) -> None:
        if self.alive(lease):
            self.both(*(slot.function(digest) for slot in lease[2]))

    @rule(lease=leases, force=st.booleans())
    def leave(self, lease: object, force: bool) -> None:
        if not self.alive(lease) or self.held[lease[0]]:
            return  # A lease hands back what it holds before it goes.
        if self.both(*(slot.leave(force=force) for slot in lease[2])):
            del self.held[lease[0]]

    @rule(lease=consumes(leases))
    def bury(self, lease: object) -> None:
        if lease is None or self.closed:
            return
        held = self.both(*(sorted(r.caller.bury(r.ref, lease[0])) for r in self.twins))
        assert {entry for _, entry in held} == self.held.pop(lease[0], set())

    @rule(letter=st.sampled_from("abc"), data=st.binary(max_size=3))
    def keep_letter(self, letter: str, data: bytes) -> None:
        for ring in self.twins:
            ring.caller.letters.keep(letter, b"note " + data, b"call " + data)

    @rule(letter=st.sampled_from("abc"))
    def look_at_letters(self, letter: str) -> None:
        self.both(*({e.letter: e.note for e in r.caller.letters.letters()} for r in self.twins))
        self.both(*(ring.caller.letters.call(letter) for ring in self.twins))

    @rule(letters=st.lists(st.sampled_from("abc"), unique=True))
    def drop_letters(self, letters: list[str]) -> None:
        self.both(*(ring.caller.letters.drop(letters) for ring in self.twins))

    @precondition(lambda self: not self.closed)
    @rule(queue=QUEUES, number=st.integers(1, 30))
    def condemn(self, queue: str, number: int) -> None:
        found = [ring.caller.condemn(ring.ref, queue, number) for ring in self.twins]
        name = self.both(*(record and (record.lease, record.node) for record in found))
        if name is None:
            return
        assert number in self.held[name[0]]
        held = self.both(*(sorted(r.caller.bury(r.ref, name[0])) for r in self.twins))
        assert {entry for _, entry in held} == self.held.pop(name[0])

    @precondition(lambda self: not self.closed)
    @rule(digest=DIGESTS, data=st.binary(min_size=1, max_size=3))
    def put_function(self, digest: bytes, data: bytes) -> None:
        self.both(*(r.caller.put(r.ref, "a", [], [(digest, data)]) for r in self.twins))

    @precondition(lambda self: not self.closed)
    @rule(digests=st.lists(DIGESTS, min_size=1))
    def drop_functions(self, digests: list[bytes]) -> None:
        for ring in self.twins:
            ring.caller.drop_functions(ring.ref, digests)

    @rule(name=NAMES, index=st.integers(0, 2), frame=st.binary(min_size=1, max_size=3))
    def put_blob(self, name: bytes, index: int, frame: bytes) -> None:
        for ring in self.twins:
            ring.caller.put_blob(name, index, frame)

    @rule(lease=leases, name=NAMES, index=st.integers(0, 2))
    def put_result(self, lease: object, name: bytes, index: int) -> None:
        if self.alive(lease):
            for slot in lease[2]:
                slot.put_blob(name, index, b"result")

    @rule(names=st.lists(NAMES))
    def drop_blobs(self, names: list[bytes]) -> None:
        for ring in self.twins:
            ring.caller.drop_blobs(names)

    @rule(name=NAMES, index=st.integers(0, 2))
    def blob(self, name: bytes, index: int) -> None:
        found = self.both(*(ring.caller.blob(name, index) for ring in self.twins))
        sessions = (ring.ref.session for ring in self.twins)
        seen = (s.blob(n, name, index) for s, n in zip(self.lookers, sessions, strict=True))
        assert self.both(*seen) == found

    @rule(queue=QUEUES, frame=st.sampled_from([None, b"one", b"two"]))
    def ask(self, queue: str, frame: bytes | None) -> None:
        if not self.closed:
            for ring in self.twins:
                ring.caller.ask(queue, ring.ref, frame)
        self.both(*([each[1:] for each in slot.demands(queue, 9)[1]] for slot in self.lookers))

    @precondition(lambda self: self.replies)
    @rule()
    def collect(self) -> None:
        assert len(self.both(*(ring.collect_all() for ring in self.twins))) == self.replies
        self.replies = 0

    @rule()
    def close_executor(self) -> None:
        for ring in self.twins:
            ring.caller.close_executor(ring.ref)
        self.held.clear()
        self.closed = True

    @invariant()
    def same_leases(self) -> None:
        def seen(lease: LeaseRecord) -> tuple[str, str, int, str]:
            return lease.lease, lease.node, lease.threads, lease.queue

        found = self.both(*(sorted(map(seen, r.caller.leases(r.ref))) for r in self.twins))
        assert {name for name, *_ in found} == set(self.held)

    def teardown(self) -> None:
        if hasattr(self, "redis"):
            self.redis.close()


@pytest.mark.parametrize(
    "examples", [40, pytest.param(2000, marks=[pytest.mark.full, pytest.mark.timeout(900)])]
)
def test_the_twins_agree(endpoint: Endpoint, examples: int) -> None:
    """Who debugs on the twin must not find other rules on the cluster."""
    machine = type("TwinsHere", (Twins,), {"endpoint": endpoint})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize="CI" in os.environ,
        ),
    )
