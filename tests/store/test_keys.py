"""The map of keys is complete, and what a session or a node writes goes with it."""

import re

import pytest

from distexec.settings import Settings
from distexec.store import keys
from distexec.store.lease_port import Bid, Parcel
from distexec.store.port import HISTORY_SECONDS, ExecutorRef, NodeStatus

from .worlds import NODE, QUEUE, SETTINGS, RedisWorld, Ring, entries, take

#: The keys in the table of the module's docstring, as patterns.
MAP = [
    re.compile(re.sub(r"\b[A-Z]+\b", "[^:{}]+", re.escape(name)))
    for name in re.findall(r"^``(dx:\S+)``", keys.__doc__ or "", re.MULTILINE)
]


def use_everything(redis: RedisWorld) -> Ring:
    """Write every key that there is."""
    ring = Ring(redis)
    ring.caller.put(ring.ref, QUEUE, entries(1, 2), [(b"x" * 16, b"function")])
    ring.caller.ask(QUEUE, ring.ref, b"demand")
    ring.caller.put_blob(b"a" * 16, 0, b"chunk")
    lease = ring.lease("a")
    take(lease, 1)
    lease.reply(Parcel(b"done", [1]))
    node = redis.node()
    node.beat(NODE, b"frame", 5)
    ring.caller.command(NODE, b"order")
    ring.caller.letters.keep("letter", b"note", b"call")
    ring.caller.count("source", 1, {"done": 1})
    ring.caller.limits.grant("KEY", interval=10**6, asked=1)
    ring.caller.limits.share_out("KEY", ring.ref, limit=1, held=0, wanted=1)
    ring.caller.history.write([("name", b"frame")])
    ring.caller.answer("name", b"frame")
    return ring


def test_every_key_is_on_the_map(redis: RedisWorld) -> None:
    """Whoever looks at a server finds each key explained in `distexec.store.keys`."""
    use_everything(redis)

    assert len(MAP) == 22
    unknown = [key for key in redis.lifetimes() if not any(name.fullmatch(key) for name in MAP)]
    unused = [name.pattern for name in MAP if not any(map(name.fullmatch, redis.lifetimes()))]
    assert (unknown, unused) == ([], [])


def test_a_caller_that_says_goodbye_leaves_nothing(redis: RedisWorld) -> None:
    """A server is shared by many programs, each of which comes and goes a thousand times."""
    ring = use_everything(redis)
    ring.caller.letters.drop(["letter"])  # They are to outlive their caller.
    redis.command("DEL", keys.TOTALS, keys.serial("source"))  # So are these.
    redis.command("DEL", keys.rate("KEY"))  # It binds the next one, and expires then.
    redis.command("DEL", keys.HISTORY)  # It is for the next one.
    redis.command("DEL", keys.answer(ring.ref.session, "name"))  # Who asked reads it yet.
    ring.caller.limits.share_out("KEY", ring.ref, limit=1, held=0, wanted=0)
    ring.caller.close_executor(ring.ref)
    ring.caller.close()
    redis.node().leave(NODE)

    assert redis.lifetimes() == {}


def test_a_caller_that_vanishes_leaves_nothing_for_long(redis: RedisWorld) -> None:
    """SIGKILL says no goodbye: every key of a session expires, and slots withdraw what it asked."""
    ring = use_everything(redis)
    ring.caller.beat([ring.ref])

    times = redis.lifetimes()

    names = times.pop(keys.NODE_NAMES)
    assert names == float("inf")  # Of the nodes, not of the session.
    letters = [times.pop(key) for key in (keys.LETTER_TIMES, keys.LETTER_NOTES, keys.LETTER_CALLS)]
    assert max(letters) <= SETTINGS.dead_letter_expiry_seconds
    assert times.pop(keys.HISTORY) <= HISTORY_SECONDS
    assert times.pop(keys.TOTALS) <= 7 * 86400
    assert times.pop(keys.permits("KEY")) <= SETTINGS.permit_expiry_seconds
    assert max(times.values()) <= SETTINGS.key_expiry_seconds
    redis.expire(ring.ref.session)
    assert redis.slot().demands(QUEUE, 9)[1] == []
    assert keys.demand(QUEUE) not in redis.lifetimes()


def test_replies_to_a_caller_that_vanished_expire(redis: RedisWorld) -> None:
    """Its leases do not know that it is gone, and answer once more."""
    ring = Ring(redis)
    lease = ring.lease("a")
    replies = keys.replies(ring.ref.session)

    lease.reply(Parcel(b"done", []))

    assert 0 < redis.lifetimes()[replies] <= SETTINGS.key_expiry_seconds
    redis.command("DEL", replies)
    redis.node().report(ring.ref, b"lost")
    assert 0 < redis.lifetimes()[replies] <= SETTINGS.key_expiry_seconds


def test_a_session_that_beats_keeps_its_keys(redis: RedisWorld) -> None:
    """A call may last for days."""
    ring = use_everything(redis)
    ours = [key for key in redis.lifetimes() if ring.ref.session in key]
    ours.remove(keys.answer(ring.ref.session, "name"))  # Who asked has read it by then.
    for key in ours:
        redis.command("PEXPIRE", key, 1000)

    ring.caller.beat([ring.ref])

    times = redis.lifetimes()
    assert ours
    assert all(times[key] > 2 for key in ours), times


def test_a_result_that_nobody_fetches_expires(redis: RedisWorld) -> None:
    """Its caller may have given up the call; beats keep alive what the caller put itself."""
    ring = Ring(redis)
    ring.lease("a").put_blob(b"r" * 16, 0, b"result")
    key = keys.blob(ring.ref.session, b"r" * 16)
    redis.command("PEXPIRE", key, 1000)

    ring.caller.beat([ring.ref])

    assert redis.lifetimes()[key] <= 1


def test_a_lease_that_left_is_not_noted(redis: RedisWorld) -> None:
    """Its process may die long after it, and that would be nobody's loss."""
    ring = Ring(redis)
    node = redis.node()
    lease = ring.lease("a")
    pid = ring.caller.leases(ring.ref)[0].pid
    noted = node.leases_of(NODE, pid)
    lease.leave(force=True)

    assert noted == [(ring.ref, "a")]
    assert node.leases_of(NODE, pid) == []


# What nodes do --------------------------------------------------------------------------------


def test_a_node_is_seen_while_it_beats(redis: RedisWorld) -> None:
    """Callers judge their leases by it."""
    ring, node = Ring(redis), redis.node()
    at = node.beat(NODE, b"one", 5)
    before = ring.caller.nodes()
    later = node.beat(NODE, b"two", 5)

    assert before == [NodeStatus(NODE, at, b"one")]
    assert ring.caller.nodes() == [NodeStatus(NODE, later, b"two")]
    assert later >= at
    node.leave(NODE)
    assert ring.caller.nodes() == []


def test_a_silent_node_is_gone(redis: RedisWorld) -> None:
    """It says nothing when it is killed: its record runs out."""
    ring, node = Ring(redis), redis.node()
    node.beat(NODE, b"one", 5)
    redis.command("DEL", keys.node_record(NODE))

    assert ring.caller.nodes() == []


def test_a_node_knows_the_leases_of_each_child(redis: RedisWorld) -> None:
    """When the child dies, each of its callers is told."""
    ring, node = Ring(redis), redis.node()
    ring.lease("a")
    ring.lease("b")
    pid = ring.caller.leases(ring.ref)[0].pid

    assert sorted(node.leases_of(NODE, pid)) == [(ring.ref, "a"), (ring.ref, "b")]
    assert node.leases_of(NODE, pid + 1) == []
    node.forget(NODE, pid)
    assert node.leases_of(NODE, pid) == []


def test_a_node_lends_no_more_than_its_share(redis: RedisWorld) -> None:
    """An existing application keeps slots for its own tasks, whoever asks."""
    ring, other = Ring(redis), Ring(redis)
    first, second = redis.slot(), redis.slot()

    assert first.admit(Bid(ring.ref, QUEUE, "a", limit=9, wanted=9, share=1))
    assert not second.admit(Bid(other.ref, QUEUE, "b", limit=9, wanted=9, share=1))
    assert other.lease_names() == set()
    first.leave(force=True)
    assert second.admit(Bid(other.ref, QUEUE, "b", limit=9, wanted=9, share=1))


def test_a_refused_lease_uses_up_no_share(redis: RedisWorld) -> None:
    """It was noted before it was refused."""
    ring, slot = Ring(redis), redis.slot()

    assert not slot.admit(Bid(ring.ref, QUEUE, "a", limit=9, wanted=0, share=1))
    assert slot.admit(Bid(ring.ref, QUEUE, "b", limit=9, wanted=1, share=1))


def test_a_report_reaches_a_session_that_lives(redis: RedisWorld) -> None:
    """And no other: its key would stay for ever."""
    ring, node = Ring(redis), redis.node()
    node.report(ring.ref, b"lost")
    node.report(ExecutorRef("nobody", "1"), b"lost")

    assert ring.collect() == [b"lost"]
    assert not [key for key in redis.lifetimes() if "nobody" in key]


def test_each_command_reaches_its_node_once(redis: RedisWorld) -> None:
    """An order that is obeyed twice may kill the wrong process the second time."""
    ring, node = Ring(redis), redis.node()
    ring.caller.command(NODE, b"one")
    ring.caller.command("elsewhere", b"other")
    first = node.commands(NODE, 5)
    ring.caller.command(NODE, b"two")

    assert (first, node.commands(NODE, 5), node.commands(NODE, 0.01)) == ([b"one"], [b"two"], [])
    assert redis.node().commands(NODE, 0.01) == [], "the next node of the name obeyed as well"


@pytest.mark.parametrize("seconds", [1.5, 3.0])
def test_expiries_are_those_of_the_settings(redis: RedisWorld, seconds: float) -> None:
    """Callers and nodes of a cluster share them."""
    from distexec.store.connect import open_caller_store

    settings = Settings(session_expiry_seconds=seconds, key_expiry_seconds=2 * seconds)
    caller = open_caller_store(redis.endpoint, "session", settings)
    ref = ExecutorRef("session", "1")
    try:
        caller.open()
        caller.put_spec(ref, b"spec")
        caller.put(ref, QUEUE, entries(1))

        times = redis.lifetimes()
        assert 0 < times.pop(keys.session("session")) <= seconds
        assert all(seconds < left <= 2 * seconds for left in times.values()), times
    finally:
        caller.close_executor(ref)
        caller.close()
