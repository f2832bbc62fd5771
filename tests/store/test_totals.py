"""The cluster's totals: each count once, whatever happens to the server or is written into it."""

from collections import Counter
from collections.abc import Mapping

from distexec.errors import ClusterRefused, ClusterUnavailable
from distexec.store import keys, totals
from distexec.store.link import Link
from distexec.store.totals import Sender

from .worlds import SETTINGS, MemoryWorld, RedisWorld, World


def read(world: World) -> dict[str, int]:
    """The totals of either implementation."""
    if isinstance(world, MemoryWorld):
        return dict(world.server.totals)
    assert isinstance(world, RedisWorld)
    link = Link(world.endpoint, SETTINGS)
    try:
        return totals.read(link)
    finally:
        link.close()


def test_what_is_sent_twice_counts_once(world: World) -> None:
    """Whose answer was lost sends again: nobody may count more calls than there were."""
    one, other = world.caller("aa"), world.caller("bb")

    for serial in (1, 1, 2):
        one.count("one", serial, {"done": 5})
    other.count("other", 1, {"done": 1, "failed": 2})

    assert read(world) == {"done": 11, "failed": 2}


def test_what_others_write_there_breaks_no_count(redis: RedisWorld) -> None:
    """Nobody signs totals: a word instead of a number costs that number, and no more."""
    caller = redis.caller("aa")
    redis.command("HSET", keys.TOTALS, "done", "many", "failed", 7, b"\xff", "x")
    caller.count("one", 1, {"done": 1, "failed": 1})
    assert read(redis) == {"done": 1, "failed": 8}

    redis.command("SET", keys.TOTALS, "mine now")
    redis.command("DEL", keys.serial("one"))
    redis.command("RPUSH", keys.serial("one"), "mine too")
    caller.count("one", 2, {"done": 3})

    assert read(redis) == {"done": 3}


class Server:
    """Takes counts, unless it is told to fail; then it may have taken them."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.fails: Exception | None = None
        self.calls = 0
        self._serials: dict[str, int] = {}

    def count(self, source: str, serial: int, counts: Mapping[str, int]) -> None:
        self.calls += 1
        if self._serials.get(source) != serial:
            self._serials[source] = serial
            self.totals.update(counts)
        if self.fails is not None:
            raise self.fails


def test_sender_loses_nothing_and_repeats_nothing() -> None:
    """A server that is away now and then gets every count, and none twice."""
    server, sender = Server(), Sender()
    for fails in (None, ClusterUnavailable("gone"), ClusterUnavailable("gone"), None, None):
        server.fails = fails
        sender.add({"done": 1, "failed": 0})
        sender.send(server.count)
    sender.send(server.count)

    assert server.totals == {"done": 5}


def test_nothing_new_costs_no_command() -> None:
    """Idle callers are many."""
    server, sender = Server(), Sender()
    sender.add({"done": 0})

    sender.send(server.count)

    assert server.calls == 0


def test_server_that_refuses_is_left_alone() -> None:
    """Users made by an older version may not write there: calls go on, without pictures."""
    server, sender = Server(), Sender()
    server.fails = ClusterRefused("no permission")

    for _ in range(3):
        sender.add({"done": 1})
        sender.send(server.count)

    assert server.calls == 1


def test_totals_stay_when_their_callers_go(redis: RedisWorld) -> None:
    """Who looks twice a minute sees what a program of a second did; a quiet week ends it."""
    caller = redis.caller("aa")
    caller.count("one", 1, {"done": 1})

    lifetimes = redis.lifetimes()

    assert lifetimes[keys.TOTALS] > 6 * 86400
    assert lifetimes[keys.serial("one")] <= SETTINGS.key_expiry_seconds
