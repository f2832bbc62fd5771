"""What callers learned is kept for those after them: bounded, with its age."""

from distexec.store import keys
from distexec.store.port import MOST_HISTORY

from .worlds import RedisWorld, World


def test_what_one_session_learned_the_next_one_knows(world: World) -> None:
    """And of two records with the same name, the newer counts."""
    world.caller("00").history.write([("a", b"old"), ("b", b"other")])
    world.caller("00").history.write([("a", b"new one")])

    found = {memory.name: memory for memory in world.caller("11").history.read()}

    assert {name: memory.frame for name, memory in found.items()} == {
        "a": b"new one",
        "b": b"other",
    }
    assert found["a"].at >= found["b"].at > 1e9


def test_the_oldest_go_where_there_are_too_many(world: World) -> None:
    """Programs that make a new function per call must not fill the server."""
    history = world.caller("00").history
    for start in range(0, MOST_HISTORY + 200, 100):
        history.write([(f"{n}", b"frame") for n in range(start, start + 100)])

    names = {memory.name for memory in history.read()}

    assert len(names) <= MOST_HISTORY
    assert "0" not in names
    assert {f"{n}" for n in range(MOST_HISTORY + 100, MOST_HISTORY + 200)} <= names


def test_junk_in_its_place_is_none(redis: RedisWorld) -> None:
    """Another type is replaced, a record that is none is not read."""
    history = redis.caller("00").history
    redis.command("SET", keys.HISTORY, "junk")
    assert history.read() == []
    history.write([("a", b"frame")])
    redis.command("HSET", keys.HISTORY, "b", "junk")

    assert [memory.name for memory in history.read()] == ["a"]
