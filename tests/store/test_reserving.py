"""Reservations: a lease takes its next entry early, and entries still start in their order."""

import threading

import pytest

from conftest import eventually
from distexec.store import keys, memory_streams
from distexec.store.lease_port import STARTS, LeaseStore, Parcel

from .worlds import QUEUE, RedisWorld, Ring, cut, exchange, take

#: More than there are in these tests.
MANY = 99


def reserve(slot: LeaseStore, most_threads: int = MANY) -> list[int] | None:
    """The numbers of what *slot* reserves."""
    taken = slot.reserve(most_threads)
    return None if taken is None else [held.entry for held in taken]


def busy(ring: Ring, *names: str) -> list[LeaseStore]:
    """Leases with a call each, of entries from 1 on, and three more entries that wait."""
    leases = [ring.lease(name) for name in names]
    ring.put(*range(1, len(names) + 4))
    for number, lease in enumerate(leases, 1):
        assert take(lease, 1) == [number]
    return leases


def test_a_reserved_entry_is_the_next(ring: Ring) -> None:
    """As any that is taken, and the frame is what was put."""
    one, _ = busy(ring, "a", "b")
    assert [held.frame for held in one.reserve(MANY) or ()] == [b"frame 3"]


def test_nobody_takes_a_younger_entry_before_it_starts(ring: Ring) -> None:
    """The younger call may wait for the older one, whose lease is busy with a third."""
    one, other = busy(ring, "a", "b")
    assert reserve(one) == [3]

    assert exchange(other, b"done", [2], 1) == []
    assert take(other, 1) == []
    assert one.reply(Parcel(b"done", [1], STARTS))
    assert take(other, 1) == [4]


def test_who_waits_for_a_reservation_goes_on_when_it_ends(ring: Ring) -> None:
    """It asked once, and does not need to be told to ask again."""
    one, other = busy(ring, "a", "b")
    reserve(one)
    found: list[int] = []
    waiting = threading.Thread(
        target=lambda: found.extend(e.entry for e in other.take(1, 20) or ())
    )
    waiting.start()

    one.reply(Parcel(b"done", [1], STARTS))

    waiting.join(10)
    assert found == [4]


def test_an_entry_that_was_given_back_is_the_next_for_all(ring: Ring) -> None:
    """The call before it lasts longer than expected: who is free first runs it."""
    one, other = busy(ring, "a", "b")
    assert reserve(one) == [3]
    assert one.reply(Parcel(None, [], 3))

    assert take(other, 9) == [3]
    assert take(other, 9) == [4, 5]
    assert other.reply(Parcel(b"done", [2, 3, 4, 5]))
    assert one.reply(Parcel(b"done", [1]))
    assert ring.caller.bury(ring.ref, "a") == ring.caller.bury(ring.ref, "b") == []


def test_who_gave_it_back_may_take_it_again(ring: Ring) -> None:
    """Its call has ended by then, and nobody else was free."""
    one, _ = busy(ring, "a", "b")
    reserve(one)
    one.reply(Parcel(None, [], 3))

    assert exchange(one, b"done", [1], 1) == [3]


def test_giving_back_and_taking_go_together(ring: Ring) -> None:
    """The reply that gives it back may be the one that asks for more."""
    one, other = busy(ring, "a", "b")
    reserve(one)

    taken = one.exchange(Parcel(b"done", [1], 3), 1)

    assert [held.entry for held in taken or ()] == [3]
    assert take(other, 1) == [4]


def test_only_one_is_reserved(ring: Ring) -> None:
    """Two leases that end late would have to give theirs back in order."""
    one, other = busy(ring, "a", "b")
    assert reserve(one) == [3]
    assert reserve(other) == []

    one.reply(Parcel(b"done", [1], STARTS))
    assert reserve(other) == [4]


def test_nothing_is_reserved_before_what_was_given_back(ring: Ring) -> None:
    """It would be overtaken."""
    one, other = busy(ring, "a", "b")
    reserve(one)
    one.reply(Parcel(None, [], 3))

    assert reserve(other) == []
    assert take(other, 1) == [3]
    assert reserve(one) == [4]


def test_many_threads_do_without(ring: Ring) -> None:
    """Each reservation lets all others wait for a moment."""
    one, other = busy(ring, "a", "b")
    assert reserve(one, most_threads=1) == []
    other.widen(3, 9)
    assert reserve(one, most_threads=3) == []
    assert reserve(one, most_threads=4) == [3]


def test_nothing_is_reserved_of_an_empty_stream(ring: Ring) -> None:
    """Its next look waits for an entry, as ever."""
    (lease,) = busy(ring, "a")
    assert take(lease, 9) == [2, 3, 4]
    assert reserve(lease) == []


def test_an_ended_lease_reserves_nothing(ring: Ring) -> None:
    """Its calls were given to others."""
    one, _ = busy(ring, "a", "b")
    ring.caller.bury(ring.ref, "a")
    assert reserve(one) is None


def test_a_reservation_ends_with_its_lease(ring: Ring) -> None:
    """Its process died: the caller finds the entry among what the lease held, and sends it anew."""
    one, other = busy(ring, "a", "b")
    assert reserve(one) == [3]

    assert sorted(ring.caller.bury(ring.ref, "a")) == [(QUEUE, 1), (QUEUE, 3)]

    assert take(other, 1) == [4]
    assert reserve(other) == [5]


def test_what_a_lease_gave_back_before_its_end_is_its_callers(ring: Ring) -> None:
    """Or else two would run it."""
    one, other = busy(ring, "a", "b")
    reserve(one)
    one.reply(Parcel(None, [], 3))
    assert sorted(ring.caller.bury(ring.ref, "a")) == [(QUEUE, 1), (QUEUE, 3)]

    assert take(other, 1) == [4]


def test_giving_back_twice_takes_nothing_from_who_has_it(ring: Ring) -> None:
    """The answer was lost, and the reply is sent again."""
    one, other = busy(ring, "a", "b")
    reserve(one)
    one.reply(Parcel(None, [], 3))
    assert take(other, 1) == [3]

    assert one.reply(Parcel(None, [], 3))
    assert take(other, 1) == [4]


def test_a_reservation_is_not_waited_for_for_ever(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is stopped can say nothing, and its node still answers for it."""
    monkeypatch.setattr(memory_streams, "PATIENCE_SECONDS", 0.05)
    one, other = busy(ring, "a", "b")
    reserve(one)

    assert eventually(lambda: take(other, 1)) == [4]

    assert one.reply(Parcel(b"done", [1], STARTS))
    assert reserve(one) == [5]


# On the real server ---------------------------------------------------------------------------


def test_who_may_wait_on_the_stream_prevents_it(redis: RedisWorld) -> None:
    """A blocked reader would be given the younger entry by the server itself."""
    ring = Ring(redis)
    one, _ = busy(ring, "a", "b")
    ring.lease("new")

    assert reserve(one) == []


def test_who_found_nothing_prevents_it(redis: RedisWorld) -> None:
    """It waits on the stream from then on."""
    ring = Ring(redis)
    one, other = busy(ring, "a", "b")
    assert take(other, 9) == [3, 4, 5]
    assert take(other) == []
    ring.put(6)

    assert reserve(one) == []
    assert take(other, 1) == [6]
    ring.put(7, 8)
    assert exchange(other, b"done", [6], 1) == [7]
    assert reserve(one) == [8]


def test_a_lease_that_left_does_not(redis: RedisWorld) -> None:
    """Nothing of it stays."""
    ring = Ring(redis)
    one, other = busy(ring, "a", "b")
    other.reply(Parcel(b"done", [2]))
    assert other.leave(force=True)

    assert reserve(one) == [3]
    fields = redis.command("HKEYS", keys.order(ring.ref, QUEUE))
    assert sorted(fields) == [b"a", b"reserved"]


@pytest.mark.sources  # Compiled classes are not patched, nor looked into.
def test_a_lost_answer_is_no_lost_entry(redis: RedisWorld) -> None:
    """The connection broke after the server had done it: it says so once more."""
    ring = Ring(redis)
    one, other = busy(ring, "a", "b")
    slot = ring.world.slot()
    slot.turn(ring.ref, QUEUE, "a")
    assert reserve(slot) == [3]

    cut(one)
    assert reserve(one) == [3]

    assert exchange(other, b"done", [2], 1) == []


def test_a_reservation_that_its_lease_does_not_know_of_comes_with_its_next_look(
    redis: RedisWorld,
) -> None:
    """Both tries failed, and the lease went on: the entry must not be nobody's."""
    ring = Ring(redis)
    one, other = busy(ring, "a", "b")
    slot = ring.world.slot()
    slot.turn(ring.ref, QUEUE, "a")
    assert reserve(slot) == [3]

    assert exchange(one, b"done", [1], 1) == [3]
    assert take(other, 1) == [4]


@pytest.mark.sources
def test_what_was_given_back_is_not_taken_for_lost(redis: RedisWorld) -> None:
    """A lease whose connection broke looks at all that it holds, for the server."""
    ring = Ring(redis)
    one, other = busy(ring, "a", "b")
    reserve(one)
    one.reply(Parcel(b"done", [1], 3))

    cut(one)
    assert reserve(one) == []  # On another connection.

    assert take(one, 1) == [3]
    assert take(other, 1) == [4]


@pytest.mark.parametrize("damage", ["a string", "words"])
def test_a_key_that_others_wrote_over_stops_nobody(redis: RedisWorld, damage: str) -> None:
    """Leases do without reservations until the caller has removed it."""
    ring = Ring(redis)
    one, other = busy(ring, "a", "b")
    order = keys.order(ring.ref, QUEUE)
    if damage == "words":
        redis.command("HSET", order, "reserved", "of somebody", "free", "else's")
    else:
        redis.command("SET", order, "of somebody else's")

    assert exchange(one, b"done", [1], 1) == [3]
    assert one.reply(Parcel(b"done", [3], 3))
    assert take(other, 1) == [4]
    if damage == "a string":
        assert reserve(one) == []
        damage_found = ring.caller.audit([ring.ref])
        assert [order in line for line in damage_found.keys] == [True]
        assert not damage_found.rebuild
        assert exchange(other, b"done", [4], 1) == [5]
    else:
        assert reserve(one) == [5]
