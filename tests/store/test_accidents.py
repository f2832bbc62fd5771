"""Connections break and servers forget their scripts: a verb that is repeated happens once."""

from collections.abc import Callable

import pytest

from conftest import eventually
from distexec.errors import ClusterRefused, ClusterUnavailable
from distexec.store.lease_port import Bid, Parcel
from distexec.store.port import SessionUnknown

from .worlds import NODE, QUEUE, RedisWorld, Ring, cut, exchange, take

#: Of `cut`.
pytestmark = pytest.mark.sources


@pytest.fixture
def ring(redis: RedisWorld) -> Ring:
    """An executor on the real server."""
    return Ring(redis)


def lose_answer(store: object, redis: RedisWorld, use: Callable[[], object]) -> object:
    """Use *store* twice, breaking the connection in between, as if the first answer were lost."""
    use()
    cut(store)
    return use()


def take_behind_its_back(ring: Ring, redis: RedisWorld) -> None:
    """Take an entry as lease "a" does, which learns nothing of it."""
    redis.command(
        *("XREADGROUP", "GROUP", "leases", "a", "COUNT", 1),
        *("STREAMS", f"dx:{{{ring.ref.session}}}:1:calls:{QUEUE}", ">"),
    )


def test_put_is_repeated_without_harm(ring: Ring, redis: RedisWorld) -> None:
    """Nobody knows whether what was sent before the break arrived; sending it again is right."""
    lease = ring.lease("a")
    count = lose_answer(ring.caller, redis, lambda: ring.put(1, 2))

    assert count == 1
    assert take(lease) == [1, 2]


def test_recall_is_repeated_without_harm(ring: Ring, redis: RedisWorld) -> None:
    """An entry whose recall is not known to have worked would be neither here nor there."""
    lease = ring.lease("a")
    ring.put(1, 2, 3)
    take(lease, 1)

    recalled = lose_answer(ring.caller, redis, lambda: ring.caller.recall(ring.ref, QUEUE, [1, 2]))

    assert recalled == [2]
    assert take(lease) == [3]


def test_a_recall_whose_answer_is_lost_is_found_by_the_census(
    ring: Ring, redis: RedisWorld
) -> None:
    """A lease took a later entry meanwhile: the recall cannot be told from a finished entry."""
    lease = ring.lease("a")
    ring.put(1, 2)
    before = ring.caller.connections

    ring.caller.recall(ring.ref, QUEUE, [1])
    cut(ring.caller)
    take(lease)

    assert ring.caller.recall(ring.ref, QUEUE, [1]) == []
    assert ring.caller.connections > before, "nobody would count"
    assert ring.caller.census(ring.ref, QUEUE, [1, 2])[0] == [1]


def test_a_server_that_was_set_back_is_noticed(ring: Ring, redis: RedisWorld) -> None:
    """Restored from a snapshot, or replaced by its replica: it lacks what it acknowledged since."""
    session = f"dx:{{{ring.ref.session}}}:session"
    ring.put(1)
    ring.caller.beat([ring.ref])
    snapshot = redis.command("GET", session)
    for _ in range(3):
        ring.caller.beat([ring.ref])
    redis.command("SET", session, snapshot)

    with pytest.raises(SessionUnknown):
        ring.caller.beat([ring.ref])

    assert not ring.caller.knows(ring.ref)
    ring.caller.open()
    assert ring.caller.knows(ring.ref)
    assert ring.caller.beat([ring.ref]) > 1e9


def test_nobody_serves_on_a_node_that_does_not_beat(ring: Ring, redis: RedisWorld) -> None:
    """Its main process is frozen, say: its leases would be given up as soon as they begin."""
    slot = redis.slot()
    redis.node().leave(NODE)

    assert not slot.admit(Bid(ring.ref, QUEUE, "a", limit=9, wanted=9))

    redis.node().beat(NODE, b"node", 5)
    assert slot.admit(Bid(ring.ref, QUEUE, "a", limit=9, wanted=9))


def test_reply_is_repeated_without_harm(ring: Ring, redis: RedisWorld) -> None:
    """The frame may come twice, which the window knows; the entries are finished once."""
    lease = ring.lease("a")
    ring.put(1, 2)
    take(lease)

    assert lose_answer(lease, redis, lambda: lease.reply(Parcel(b"done", [1])))
    assert set(ring.collect()) == {b"done"}
    assert ring.caller.bury(ring.ref, "a") == [(QUEUE, 2)]


def test_an_exchange_whose_answer_was_lost_loses_no_entry(ring: Ring, redis: RedisWorld) -> None:
    """It may have taken something. That is looked for before more is taken."""
    lease = ring.lease("a")
    ring.put(1, 2, 3, 4)
    take(lease, 1)
    take_behind_its_back(ring, redis)
    cut(lease)

    taken = exchange(lease, b"done", [1], 1) or []
    taken += exchange(lease, b"done", [], 1) or []
    taken += [entry for _ in range(2) for entry in take(lease) or []]

    assert sorted(taken) == [2, 3, 4]
    assert ring.collect() == [b"done", b"done"]


@pytest.mark.parametrize("accident", ["cut", "reply", "restart"])
def test_what_a_wait_that_began_with_a_reply_took_is_found(
    ring: Ring, redis: RedisWorld, accident: str
) -> None:
    """Its connection broke, the lease had more to say first, or the server had no scripts."""
    lease = ring.lease("a")
    ring.put(1)
    assert take(lease) == [1]
    assert take(lease) == []
    if accident == "restart":
        redis.command("SCRIPT", "FLUSH")
    assert lease.exchange(Parcel(b"one", [1]), 1, 20) == []
    ring.put(2, 3)

    if accident == "cut":
        cut(lease)
    taken = exchange(lease, b"more", [], 1) or []
    taken += [entry for _ in range(3) for entry in take(lease) or []]

    assert sorted(taken) == [2, 3]
    assert ring.collect() == [b"one", b"more"]


def test_admission_is_repeated_without_harm(ring: Ring, redis: RedisWorld) -> None:
    """A lease that counts twice would keep the executor below its limit for ever."""
    slot = redis.slot()

    admitted = lose_answer(
        slot, redis, lambda: slot.admit(Bid(ring.ref, QUEUE, "a", limit=1, wanted=1, share=1))
    )

    assert admitted
    assert ring.lease_names() == {"a"}


def test_what_was_taken_over_a_broken_connection_is_taken_again(
    ring: Ring, redis: RedisWorld
) -> None:
    """The server thinks that the lease holds it; nobody else will get it."""
    lease = ring.lease("a")
    ring.put(1, 2, 3)
    take(lease, 1)
    take_behind_its_back(ring, redis)
    cut(lease)

    taken = [take(lease) or [] for _ in range(3)]

    assert sorted(entry for each in taken for entry in each) == [2, 3]


def test_taking_again_never_takes_what_is_being_run(ring: Ring, redis: RedisWorld) -> None:
    """A call that runs when the connection breaks must not be started a second time."""
    lease = ring.lease("a")
    ring.put(1, 2)
    take(lease)
    cut(lease)

    assert take(lease) == []
    assert take(lease) == []


def test_each_frame_is_collected_once_over_two_connections(ring: Ring, redis: RedisWorld) -> None:
    """The collector remembers how far it has read, not the server."""
    lease = ring.lease("a")
    lease.reply(Parcel(b"one", []))
    first = ring.collect()
    cut(ring.caller)
    lease.reply(Parcel(b"two", []))

    assert (first, ring.collect()) == ([b"one"], [b"two"])


def test_replies_are_not_lost_with_a_look_that_was_sent_ahead(
    ring: Ring, redis: RedisWorld
) -> None:
    """The server was asked for more already: by the old connection, or a long time ago."""
    lease = ring.lease("a")
    lease.reply(Parcel(b"one", []))
    assert ring.collect() == [b"one"]
    cut(ring.caller)
    lease.reply(Parcel(b"two", []))
    assert ring.collect() == [b"two"]
    # That look, which found nothing within its time, is answered: what came later is found as well.
    eventually(lambda: redis.command("INFO", "clients").count(b"blocked_clients:0") == 1)
    lease.reply(Parcel(b"three", []))

    assert ring.collect() == [b"three"]
    assert ring.caller.collect(0.02) == []


def test_burial_is_repeated_without_harm(ring: Ring, redis: RedisWorld) -> None:
    """Twice returned, a call would be sent twice; never returned, it would hang."""
    lease = ring.lease("a")
    ring.put(1)
    take(lease)
    cut(ring.caller)

    assert ring.caller.bury(ring.ref, "a") == [(QUEUE, 1)]
    cut(ring.caller)
    assert ring.caller.bury(ring.ref, "a") == []


def test_scripts_are_loaded_again(ring: Ring, redis: RedisWorld) -> None:
    """A server that was restarted, or a failover's replica, has none of them."""
    lease = ring.lease("a")
    ring.put(1, 2, 3)
    uses: list[tuple[Callable[[], object], object]] = [
        (lambda: ring.caller.recall(ring.ref, QUEUE, [3]), [3]),
        (lambda: take(lease, 1), [1]),
        (lambda: lease.reply(Parcel(b"done", [1])), True),
        (lambda: exchange(lease, None, [], 1), [2]),
        (lambda: lease.widen(2, 9), 2),
        (lambda: ring.lease("b") is not None, True),
        (lambda: redis.node().beat(NODE, b"node", 5) > 1e9, True),
        (lambda: redis.node().report(ring.ref, b"report"), None),
        (lambda: ring.caller.bury(ring.ref, "b"), []),
        (lambda: lease.leave(force=True), True),
    ]
    for use, outcome in uses:
        redis.command("SCRIPT", "FLUSH")

        assert use() == outcome
    assert ring.collect() == [b"done", b"report"]


def test_a_missing_permission_is_named_and_can_be_granted(ring: Ring, redis: RedisWorld) -> None:
    """Waiting would not help, a person would; and the connection is good for use afterwards."""
    redis.command("ACL", "SETUSER", "default", "-xadd")
    try:
        with pytest.raises(ClusterRefused, match=r"server at .*server\.sock refuses .*xadd"):
            ring.put(1)
    finally:
        redis.command("ACL", "SETUSER", "default", "+@all")

    assert ring.put(1) == 0


def test_what_of_a_put_arrived_is_not_put_again(ring: Ring) -> None:
    """A pipeline may break in the middle: all of it is sent again, and half is dropped."""
    lease = ring.lease("a")
    ring.put(1, 2)
    ring.put(1, 2, 3, 4)

    assert take(lease) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("fault", "mended"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
        ),
    ],
)
def test_a_server_that_takes_no_writes_is_an_outage(
    ring: Ring, redis: RedisWorld, fault: tuple[str, ...], mended: tuple[str, ...]
) -> None:
    """In a failover both sides refuse for some seconds, commands and scripts alike."""
    lease = ring.lease("a")
    ring.put(1)
    take(lease)
    redis.command(*fault)
    try:
        for use in (lambda: ring.put(2), lambda: lease.reply(Parcel(b"done", [1]))):
            with pytest.raises(ClusterUnavailable, match="cannot serve now"):
                use()
    finally:
        redis.command(*mended)

    assert lease.reply(Parcel(b"done", [1]))
    assert ring.collect() == [b"done"]


def test_memory_limit_is_an_outage_and_no_loss(ring: Ring, redis: RedisWorld) -> None:
    """A full server refuses the call; it is put again when there is room."""
    ring.put(1)
    redis.command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(ClusterUnavailable, match="cannot serve now"):
            ring.put(2)
    finally:
        redis.command("CONFIG", "SET", "maxmemory", "0")
    ring.put(2)

    assert take(ring.lease("a")) == [1, 2]
