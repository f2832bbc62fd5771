"""The store's verbs mean the same on both implementations: in memory, and on a real server."""

import threading

import pytest

from conftest import eventually
from distexec.store.lease_port import Bid, LeaseStore, Parcel
from distexec.store.port import ExecutorRef, SessionUnknown

from .worlds import NODE, QUEUE, Ring, World, entries, exchange, take

# Putting and taking ---------------------------------------------------------------------------


def test_calls_are_taken_in_the_order_in_which_they_were_put(ring: Ring) -> None:
    """First in, first out: who submitted first is served first."""
    lease = ring.lease("a")
    ring.put(1, 2)
    ring.put(3)

    assert take(lease, 2) == [1, 2]
    assert take(lease) == [3]


def test_an_entry_goes_to_one_lease(ring: Ring) -> None:
    """Two leases that take at once must not run the same call."""
    one, other = ring.lease("a"), ring.lease("b")
    ring.put(*range(1, 9))

    assert take(one, 4) == [1, 2, 3, 4]
    assert take(other) == [5, 6, 7, 8]


def test_frames_arrive_as_they_were_put(ring: Ring) -> None:
    """The store carries opaque bytes: a changed one breaks the signature."""
    frame = bytes(range(256)) * 4
    lease = ring.lease("a")
    ring.caller.put(ring.ref, QUEUE, [entries(1)[0]._replace(frame=frame)])

    taken = lease.take(1, 0.01)

    assert taken is not None
    assert taken[0].frame == frame


def test_an_entry_that_is_not_above_the_last_is_dropped(ring: Ring) -> None:
    """What arrives twice is a retry or a replay; running it again would be wrong in both cases."""
    lease = ring.lease("a")
    ring.put(1, 2, 3)
    ring.put(2, 3, 4)
    ring.put(1)

    assert take(lease) == [1, 2, 3, 4]


def test_an_entry_is_dropped_after_it_was_answered_as_well(ring: Ring) -> None:
    """The stream is empty then, and must still remember how far it was."""
    lease = ring.lease("a")
    ring.put(1, 2)
    take(lease)
    lease.reply(Parcel(b"done", [1, 2]))
    ring.put(1, 2)

    assert take(lease) == []


def test_put_tells_how_many_leases_there_are(ring: Ring) -> None:
    """So the dispatcher learns it without a trip of its own."""
    before = ring.put(1)
    ring.lease("a")
    ring.lease("b")

    assert (before, ring.put(2)) == (0, 2)


def test_queues_are_apart(ring: Ring) -> None:
    """Each executor has a stream for each queue, with numbers of its own."""
    lease = ring.lease("a")
    ring.put(1, 2, queue="elsewhere")
    ring.put(1)

    assert take(lease) == [1]


def test_taking_waits_for_the_first_entry(ring: Ring) -> None:
    """An idle lease sleeps on the server, and is awake as soon as something comes."""
    lease = ring.lease("a")
    ring.put(1)
    take(lease)
    putter = threading.Timer(0.03, ring.put, [2])
    putter.start()

    taken = lease.take(5, 20)

    putter.join()
    assert taken == entries(2)


def test_backlog_is_what_nobody_took(ring: Ring) -> None:
    """A lease makes room for what waits, not for what others hold."""
    lease = ring.lease("a")
    before = lease.backlog()
    ring.put(1, 2, 3)
    take(lease, 1)

    assert (before, lease.backlog()) == (0, 2)


# Taking back ----------------------------------------------------------------------------------


def test_recall_is_exact(ring: Ring) -> None:
    """`cancel` says True for what is recalled: what a lease has taken must stay with it."""
    lease = ring.lease("a")
    ring.put(1, 2, 3, 4)
    take(lease, 2)

    assert ring.caller.recall(ring.ref, QUEUE, [1, 3]) == [3]
    assert take(lease) == [4]


def test_a_recalled_entry_is_neither_backlog_nor_a_reason_to_stay(ring: Ring) -> None:
    """A lease that waited for calls which were cancelled would hold its slot for nothing."""
    lease = ring.lease("a")
    ring.put(1, 2)
    ring.caller.recall(ring.ref, QUEUE, [1, 2])

    assert lease.backlog() == 0
    assert lease.leave(force=False)


def test_what_was_not_put_is_not_recalled(ring: Ring) -> None:
    """It may still be on its way; whoever calls it taken back will see it run."""
    ring.put(1)

    assert ring.caller.recall(ring.ref, QUEUE, [1, 2]) == [1]


# Answering ------------------------------------------------------------------------------------


def test_each_reply_is_collected_once_and_in_order(ring: Ring) -> None:
    """Replies of one lease tell a story: started, then done."""
    lease = ring.lease("a")
    lease.reply(Parcel(b"started", []))
    lease.reply(Parcel(b"done", []))
    first = ring.collect()
    lease.reply(Parcel(b"next", []))

    assert first == [b"started", b"done"]
    assert ring.collect() == [b"next"]
    assert ring.collect() == []


def test_finished_entries_need_no_frame(ring: Ring) -> None:
    """An entry that was put aside is acknowledged without a word."""
    lease = ring.lease("a")
    ring.put(1)
    take(lease)

    assert lease.reply(Parcel(None, [1]))
    assert ring.collect() == []
    assert ring.caller.bury(ring.ref, "a") == []


def test_replies_and_the_next_entries_share_a_trip(ring: Ring) -> None:
    """Between two calls a lease is idle for one trip, and not for two."""
    lease = ring.lease("a")
    ring.put(1, 2, 3)
    take(lease, 1)

    assert exchange(lease, b"done", [1], 1) == [2]
    assert exchange(lease, None, [2], 5) == [3]
    assert exchange(lease, b"also done", [3], 5) == []
    assert ring.collect() == [b"done", b"also done"]
    assert ring.caller.bury(ring.ref, "a") == []


def test_a_reply_is_heard_before_its_lease_waits(ring: Ring) -> None:
    """Where nothing is to be expected the wait for the next entry has begun with the reply."""
    lease = ring.lease("a")
    ring.put(1)
    assert take(lease) == [1]
    assert take(lease) == []

    assert lease.exchange(Parcel(b"one", [1]), 1, 20) == []
    assert ring.collect() == [b"one"]
    ring.put(2)
    assert [held.entry for held in lease.take(1, 20) or ()] == [2]
    assert lease.exchange(Parcel(b"two", [2]), 1, 20) == []
    assert ring.collect() == [b"two"]
    ring.caller.close_executor(ring.ref)
    assert lease.take(1, 20) is None


def test_collecting_waits_and_can_be_interrupted(ring: Ring) -> None:
    """The collector ends with its session, and not some seconds later."""
    interrupter = threading.Timer(0.03, ring.caller.interrupt)
    interrupter.start()

    assert ring.caller.collect(20) == []
    interrupter.join()


@pytest.mark.parametrize("end", ["bury", "close"])
def test_an_ended_lease_is_not_heard(ring: Ring, end: str) -> None:
    """Its calls were sent again or given up: a late answer would settle them twice."""
    lease = ring.lease("a")
    ring.put(1)
    take(lease)
    if end == "bury":
        ring.caller.bury(ring.ref, "a")
    else:
        ring.caller.close_executor(ring.ref)

    assert not lease.reply(Parcel(b"late", [1]))
    assert exchange(lease, b"late", [1], 1) is None
    assert take(lease) is None
    assert lease.widen(4, 100) == 0
    assert lease.leave(force=True)
    assert ring.collect() == []


def test_a_lease_waiting_for_calls_notices_its_end(ring: Ring) -> None:
    """A slot that waits for a caller who left serves nobody."""
    ring.put(1)
    lease = ring.lease("a")
    take(lease)
    closer = threading.Timer(0.03, ring.caller.close_executor, [ring.ref])
    closer.start()

    assert lease.take(1, 20) is None
    closer.join()


# Admission ------------------------------------------------------------------------------------


def test_no_more_leases_than_wanted_nor_threads_than_the_limit(ring: Ring) -> None:
    """`max_workers` is exact, however many wake-ups arrive too late or twice."""
    first = ring.lease("a", wanted=2)
    ring.lease("b", wanted=2)
    third = ring.world.slot()

    assert not third.admit(Bid(ring.ref, QUEUE, "c", limit=100, wanted=2))
    assert first.widen(3, 6) == 3
    assert not third.admit(Bid(ring.ref, QUEUE, "c", limit=4, wanted=9))
    assert third.admit(Bid(ring.ref, QUEUE, "c", limit=5, wanted=9))
    assert len(ring.caller.leases(ring.ref)) == 3


def test_threads_of_all_leases_stay_below_the_limit(ring: Ring) -> None:
    """The limit counts calls that run, whatever process they run in."""
    one, other = ring.lease("a"), ring.lease("b")

    granted = one.widen(6, 8), one.widen(6, 8), other.widen(6, 8), one.widen(8, 8)

    assert granted == (4, 6, 2, 6)  # Its equal share at first; then what the others left.


def test_threads_are_given_back(ring: Ring) -> None:
    """What one lease does not need any more, another may have."""
    one, other = ring.lease("a"), ring.lease("b")
    assert [one.widen(7, 8) for _ in range(2)] == [4, 7]

    assert one.widen(2, 8) == 2
    assert [other.widen(7, 8) for _ in range(2)] == [4, 6]


def test_nobody_is_admitted_to_a_session_that_is_gone(ring: Ring, world: World) -> None:
    """Its caller would never read the answers."""
    world.expire(ring.ref.session)

    assert not world.slot().admit(Bid(ring.ref, QUEUE, "a", limit=9, wanted=9))


def test_nobody_is_admitted_to_an_executor_that_is_closed(ring: Ring, world: World) -> None:
    """Its session lives on with others; a slot that read the demand before would hang about."""
    ring.caller.close_executor(ring.ref)

    assert not world.slot().admit(Bid(ring.ref, QUEUE, "a", limit=9, wanted=9))


def test_leases_are_described_as_they_were_admitted(ring: Ring) -> None:
    """Their callers find out from it whether node and process still live."""
    lease = ring.lease("a")
    lease.widen(3, 9)

    (record,) = ring.caller.leases(ring.ref)

    assert record[:2] == ("a", NODE)
    assert (record.threads, record.queue) == (3, QUEUE)
    assert abs(record.admitted_at - ring.caller.beat([ring.ref])) < 60


def test_a_lease_stays_while_entries_wait(ring: Ring) -> None:
    """Between its last look and its farewell a call may have come; who would take it?"""
    lease = ring.lease("a")
    ring.put(1)

    assert not lease.leave(force=False)
    assert ring.lease_names() == {"a"}
    assert lease.leave(force=True)
    assert ring.lease_names() == set()


def test_a_lease_need_not_stay_for_what_others_hold(ring: Ring) -> None:
    """Those calls are taken care of."""
    one, other = ring.lease("a"), ring.lease("b")
    ring.put(1)
    take(other)

    assert one.leave(force=False)
    assert ring.lease_names() == {"b"}


# Lost leases ----------------------------------------------------------------------------------


def test_burial_returns_what_the_lease_held(ring: Ring) -> None:
    """Those calls are sent again: one that is missing would hang for ever."""
    dead, alive = ring.lease("a"), ring.lease("b")
    ring.put(1, 2, 3, 4)
    take(dead, 3)
    dead.reply(Parcel(b"done", [2]))
    take(alive)

    assert sorted(ring.caller.bury(ring.ref, "a")) == [(QUEUE, 1), (QUEUE, 3)]
    assert ring.caller.bury(ring.ref, "a") == []
    assert ring.lease_names() == {"b"}


def test_what_a_buried_lease_held_is_not_taken_again(ring: Ring) -> None:
    """Its calls travel in new entries, which blame suspects; the old ones are over."""
    dead, heir = ring.lease("a"), ring.lease("b")
    ring.put(1, 2)
    take(dead, 1)
    ring.caller.bury(ring.ref, "a")

    assert take(heir) == [2]
    assert heir.leave(force=False)


def test_a_buried_lease_takes_nothing_for_good(ring: Ring) -> None:
    """A node that was silent and comes back finds its leases ended; calls must not stick there."""
    ghost, heir = ring.lease("a"), ring.lease("b")
    ring.put(1)
    ring.caller.bury(ring.ref, "a")

    assert take(ghost) is None
    held = [entry for name in ring.lease_names() - {"b"} for entry in _bury(ring, name)]
    assert (take(heir) or []) + [entry for _, entry in held] == [1]


def _bury(ring: Ring, lease: str) -> list[tuple[str, int]]:
    return ring.caller.bury(ring.ref, lease)


# What executors keep --------------------------------------------------------------------------


def test_functions_are_there_before_the_calls(ring: Ring) -> None:
    """A lease that takes a call finds its function."""
    lease = ring.lease("a")
    digest = bytes(range(16))
    ring.caller.put(ring.ref, QUEUE, entries(1), [(digest, b"one"), (b"x" * 16, b"two")])

    assert lease.function(digest) == b"one"
    assert lease.function(b"x" * 16) == b"two"
    assert lease.function(b"y" * 16) is None


def test_functions_can_be_dropped(ring: Ring) -> None:
    """A program that makes a lambda per call would fill the server."""
    lease = ring.lease("a")
    ring.caller.put(ring.ref, QUEUE, [], [(b"x" * 16, b"one"), (b"y" * 16, b"two")])
    ring.caller.drop_functions(ring.ref, [b"x" * 16, b"z" * 16])

    assert lease.function(b"x" * 16) is None
    assert lease.function(b"y" * 16) == b"two"


def test_the_newest_spec_is_read(ring: Ring) -> None:
    """Leases prepare their process by it."""
    lease = ring.lease("a")
    before = lease.spec()
    ring.caller.put_spec(ring.ref, b"newer")

    assert (before, lease.spec()) == (b"spec", b"newer")


def test_executors_of_one_session_are_apart(ring: Ring) -> None:
    """Closing one must not touch the other."""
    other = ring.ref._replace(executor="2")
    ring.caller.put_spec(other, b"other")
    ring.caller.put(other, QUEUE, entries(1), [(b"x" * 16, b"other")])
    lease = ring.lease("a")
    ring.put(1)
    ring.caller.close_executor(other)

    assert lease.function(b"x" * 16) is None
    assert take(lease) == [1]


# Demand ---------------------------------------------------------------------------------------


def asked(slot: LeaseStore, queue: str = QUEUE) -> dict[ExecutorRef, bytes]:
    """Everything that is asked of *queue*."""
    return {each.ref: each.frame for each in slot.demands(queue, 99)[1]}


def test_demands_are_what_was_asked_last(ring: Ring) -> None:
    """A slot that wakes up looks at them, and at nothing else."""
    slot, other = ring.world.slot(), ring.ref._replace(executor="2")
    ring.caller.ask(QUEUE, ring.ref, b"one")
    ring.caller.ask(QUEUE, ring.ref, b"two")
    ring.caller.ask(QUEUE, other, b"other")
    ring.caller.ask("elsewhere", ring.ref, b"elsewhere")
    everything = asked(slot)
    ring.caller.ask(QUEUE, other, None)

    assert everything == {ring.ref: b"two", other: b"other"}
    assert asked(slot) == {ring.ref: b"two"}


def test_a_slot_sees_how_far_an_executor_is_served(ring: Ring) -> None:
    """Its leases, and the entries of its stream: whoever has some goes before others."""
    slot, other = ring.world.slot(), ring.ref._replace(executor="2")
    ring.caller.ask(QUEUE, ring.ref, b"one")
    ring.caller.ask(QUEUE, other, b"other")
    ring.put(1, 2)
    take(ring.lease("a"), 1)

    clock, demands = slot.demands(QUEUE, 99)

    assert abs(clock - ring.caller.beat([])) < 60
    assert {each.ref: each[2:] for each in demands} == {ring.ref: (1, 2), other: (0, 0)}


def test_a_slot_looks_at_no_more_executors_than_it_wants(ring: Ring) -> None:
    """With a thousand of them, each look at all would be more work than most calls."""
    slot, refs = ring.world.slot(), [ring.ref._replace(executor=str(n)) for n in range(40)]
    for ref in refs:
        ring.caller.ask(QUEUE, ref, b"demand")

    looks = [{each.ref for each in slot.demands(QUEUE, 7)[1]} for _ in range(40)]

    assert all(len(look) == 7 for look in looks)
    assert set.union(*looks) == set(refs), "chance leaves nobody out"


def test_a_lease_hears_how_many_ask_for_its_queue(ring: Ring) -> None:
    """With the calls that it takes anyway: nobody else is there most of the time."""
    lease = ring.lease("a")
    ring.caller.ask(QUEUE, ring.ref, b"demand")
    take(lease)
    alone = lease.asking
    ring.caller.ask(QUEUE, ring.ref._replace(executor="2"), b"demand")

    def hears_two() -> bool:
        take(lease)
        return lease.asking == 2

    assert alone == 1
    eventually(hears_two)


# A slot that turns from one executor to another -----------------------------------------------


def test_a_claim_needs_calls_that_nobody_took(ring: Ring) -> None:
    """A lease with calls of its own must not leave them for an executor that has none waiting."""
    slot = ring.lease("old")

    before = slot.claim(Bid(ring.ref, QUEUE, "new", limit=9, wanted=9))
    ring.put(1)
    taken = take(slot)
    while_taken = slot.claim(Bid(ring.ref, QUEUE, "new", limit=9, wanted=9))
    ring.put(2)

    assert taken == [1] and not before and not while_taken
    assert slot.claim(Bid(ring.ref, QUEUE, "new", limit=9, wanted=9))
    assert not slot.claim(Bid(ring.ref, QUEUE, "third", limit=9, wanted=2))
    assert ring.lease_names() == {"old", "new"}


def test_a_slot_with_a_claim_finishes_what_it_has_first(ring: Ring) -> None:
    """It answers and leaves as the old lease, and takes as the new one after it turned."""
    other = Ring(ring.world)
    slot = ring.lease("old")
    ring.put(1)
    other.put(2)
    assert take(slot) == [1]

    assert slot.claim(Bid(other.ref, QUEUE, "new", limit=9, wanted=9))
    assert slot.reply(Parcel(b"answer", [1])) and slot.leave(force=True)
    slot.turn(other.ref, QUEUE, "new")

    assert ring.collect() == [b"answer"] and not ring.lease_names()
    assert take(slot) == [2] and other.lease_names() == {"new"}


def test_a_slot_withdraws_what_is_foreign(ring: Ring) -> None:
    """Garbage in the demands would be looked at by every slot for ever."""
    slot = ring.world.slot()
    ring.caller.ask(QUEUE, ring.ref, b"garbage")
    slot.withdraw(QUEUE, ring.ref)

    assert asked(slot) == {}


@pytest.mark.parametrize("asked_on", [QUEUE, "never put to"])
def test_a_closed_executor_asks_for_nothing(ring: Ring, asked_on: str) -> None:
    """Slots would be woken, and admitted by nobody."""
    ring.put(1)
    ring.caller.ask(asked_on, ring.ref, b"demand")
    ring.caller.close_executor(ring.ref)

    assert asked(ring.world.slot(), asked_on) == {}


def test_a_closed_session_asks_for_nothing(ring: Ring) -> None:
    """The same for all of its executors at once."""
    ring.caller.ask(QUEUE, ring.ref, b"demand")
    ring.caller.close()

    assert asked(ring.world.slot()) == {}


# A server that forgot -------------------------------------------------------------------------


def test_an_emptied_server_is_noticed_and_can_be_used_anew(ring: Ring) -> None:
    """The caller holds every unsettled call: nothing is lost when Redis loses everything."""
    lease = ring.lease("a")
    ring.put(1, 2)
    take(lease, 1)
    ring.world.empty()

    for use in (lambda: ring.put(3), lambda: ring.caller.beat([ring.ref])):
        with pytest.raises(SessionUnknown):
            use()
    assert not lease.reply(Parcel(b"late", [1]))
    assert exchange(lease, b"late", [1], 1) is None
    assert take(lease) is None
    assert not ring.caller.knows(ring.ref)
    ring.caller.close_executor(ring.ref)
    ring.caller.open()
    ring.caller.put_spec(ring.ref, b"spec")
    ring.put(4)
    heir = ring.lease("b")
    assert take(heir) == [4]
    assert heir.reply(Parcel(b"done", [4]))
    assert ring.collect() == [b"done"]


def test_a_census_tells_what_is_not_there(ring: Ring) -> None:
    """Taken or not, an entry is there until it is answered; and the answer is on its way then."""
    lease = ring.lease("a")
    ring.put(1, 2, 3)
    take(lease, 2)
    lease.reply(Parcel(b"done", [1]))

    missing, mark = ring.caller.census(ring.ref, QUEUE, [1, 2, 3])

    assert missing == [1]
    assert not ring.caller.has_collected(mark)
    assert ring.collect() == [b"done"]
    assert not ring.caller.has_collected(mark), "it may not have been looked at yet"
    assert ring.collect() == []
    assert ring.caller.has_collected(mark)


def test_beat_of_a_session_without_executors_is_quiet(world: World) -> None:
    """Commands to nodes need the server's clock, and no executor."""
    caller = world.caller("session")
    caller.open()

    assert caller.beat([]) > 1e9


def test_unknown_executors_have_no_leases(ring: Ring) -> None:
    """A question about what is gone is no error."""
    nobody = ExecutorRef(ring.ref.session, "77")

    assert ring.caller.leases(nobody) == []


# Blobs ----------------------------------------------------------------------------------------


def test_a_blob_is_there_for_every_lease_until_it_is_dropped(ring: Ring) -> None:
    """A value is put once for all calls that use it, chunk by chunk."""
    lease, name = ring.lease("a"), b"a" * 16
    for index, chunk in enumerate([b"one", bytes(range(256))]):
        ring.caller.put_blob(name, index, chunk)

    found = [lease.blob(ring.ref.session, name, index) for index in range(3)]

    assert found == [b"one", bytes(range(256)), None]
    ring.caller.drop_blobs([name, b"b" * 16])
    assert lease.blob(ring.ref.session, name, 0) is None


def test_a_caller_reads_the_results_of_its_leases(ring: Ring) -> None:
    """A large result waits beside the reply that names it."""
    lease, name = ring.lease("a"), b"r" * 16
    lease.put_blob(name, 0, b"result")

    assert ring.caller.blob(name, 0) == b"result"
    ring.caller.drop_blobs([name])
    assert ring.caller.blob(name, 0) is None


def test_blobs_of_another_session_are_apart(world: World) -> None:
    """Equal values have equal names; the one program must not free the other's."""
    one, other, name = Ring(world), Ring(world), b"a" * 16
    one.caller.put_blob(name, 0, b"one")
    other.caller.put_blob(name, 0, b"other")
    other.caller.drop_blobs([name])

    assert one.caller.blob(name, 0) == b"one"
    assert other.caller.blob(name, 0) is None
