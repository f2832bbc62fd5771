"""Properties 14 to 16: what goes in and what comes out."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import eventually

from . import calls
from .conftest import Gate
from .worlds import EVERY, OURS, Pools, World, on

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([-0.0, math.nan, math.inf, -math.inf])
    | st.complex_numbers()
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
KEYS = st.integers() | st.text(max_size=5)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(KEYS, max_size=4)
    ),
    max_leaves=12,
)


def identical(left: Any, right: Any) -> bool:
    """Say whether two values are alike to the bit: -0.0 is not 0.0, True is not 1, NaN is NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack(">d", left) == struct.pack(">d", right)
    if isinstance(left, complex):
        return identical(left.real, right.real) and identical(left.imag, right.imag)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(identical, left, right))
    if isinstance(left, dict):
        return identical(list(left.items()), list(right.items()))
    return bool(left == right)


# 14. Values -----------------------------------------------------------------------------------


@on(*EVERY)
def test_values_make_the_trip_unchanged(world: World, pool: Pools) -> None:
    """To the bit, in both directions, by position and by keyword."""
    executor = pool(world, 2)

    @world.settings(2)
    @given(VALUES, VALUES)
    def holds(first: Any, second: Any) -> None:
        args, keywords = executor.submit(calls.echo, first, named=second).result(timeout=20)

        assert identical(args, (first,))
        assert identical(keywords, {"named": second})

    holds()


@pytest.mark.parametrize(
    "value",
    [None, False, 0, 0.0, "", b"", (), [], {}, set(), frozenset(), NotImplemented, ...],
    ids=repr,
)
@on(*EVERY)
def test_falsy_and_odd_results_are_results(world: World, pool: Pools, value: Any) -> None:
    """``if result:`` and ``None`` as a marker for "nothing yet" are how they get lost."""
    executor = pool(world, 2)

    assert identical(executor.submit(calls.identity, value).result(timeout=20), value)
    assert identical(list(executor.map(calls.identity, [value, value])), [value, value])


@on(*EVERY)
def test_shared_and_recursive_structures_keep_their_shape(world: World, pool: Pools) -> None:
    """Graphs and caches depend on what is the same object as what."""
    executor = pool(world, 2)
    shared = ["shared"]
    recursive: list[Any] = [shared]
    recursive.append(recursive)
    twice = {"a": shared, "b": [shared]}

    first = executor.submit(calls.identity, recursive).result(timeout=20)
    second = executor.submit(calls.identity, twice).result(timeout=20)
    args, keywords = executor.submit(calls.echo, shared, other=shared).result(timeout=20)

    assert first[1] is first and first[0] == ["shared"]
    assert second["a"] is second["b"][0]
    assert args[0] is keywords["other"]


@on(*EVERY)
def test_exception_that_is_returned_is_a_value(world: World, pool: Pools) -> None:
    """Programs collect errors as results; nothing was raised."""
    future = pool(world, 2).submit(calls.identity, ValueError("a value"))

    value = future.result(timeout=20)

    assert type(value) is ValueError and value.args == ("a value",)
    assert future.exception() is None


@pytest.mark.parametrize("megabytes", [1, 100])
@on("stdlib-processes", *OURS)
def test_large_values_make_the_trip(world: World, pool: Pools, megabytes: int) -> None:
    """Images and tables are the ordinary load of such programs."""
    executor = pool(world, 2)
    size = megabytes * 2**20
    data = b"beginning" + bytes(size - 12) + b"end"

    there = executor.submit(calls.length_and_ends, data)
    back = executor.submit(calls.zeros, size)

    assert there.result(timeout=60) == (size, b"beginnin", b"\0\0\0\0\0end")
    assert len(back.result(timeout=60)) == size


@on("stdlib-processes", *OURS, "embedded-threads")
def test_result_that_cannot_be_pickled_fails_its_own_future_only(world: World, pool: Pools) -> None:
    """The neighbours of a bad result, which travel in the same batch, must not suffer for it."""
    executor = pool(world, 2)

    futures = [executor.submit(calls.lock if n == 5 else calls.nothing) for n in range(10)]
    errors = [future.exception(timeout=20) for future in futures]

    assert errors[5] is not None and "lock" in str(errors[5])
    assert [error for error in errors if error is not None] == [errors[5]]


# 15. Snapshot ---------------------------------------------------------------------------------


@on(*OURS)
def test_arguments_are_those_of_the_moment_of_submit(world: World, pool: Pools, gate: Gate) -> None:
    """A loop that refills one buffer is ordinary code; the calls must not all see its last content.

    The standard process pool pickles a moment later, in another thread, and is left out.
    """
    executor = pool(world, 1)
    executor.submit(calls.wait_for, gate.path)
    buffer: list[int] = []
    futures = []
    for number in range(20):
        buffer.append(number)
        futures.append(executor.submit(calls.identity, buffer))
    buffer.clear()
    gate.open()

    assert [future.result(timeout=20) for future in futures] == [
        list(range(number + 1)) for number in range(20)
    ]


@on("stdlib-processes", *OURS)
def test_calls_cannot_change_what_the_caller_holds(world: World, pool: Pools) -> None:
    """Nor what another call gets: a call works on a copy, even in the same process."""
    executor = pool(world, 2)
    items = ["mine"]

    first = executor.submit(calls.append_to, items, 1)
    second = executor.submit(calls.append_to, items, 2)

    assert first.result(timeout=20) == ["mine", 1]
    assert second.result(timeout=20) == ["mine", 2]
    first.result().append("changed")
    assert items == ["mine"]
    assert executor.submit(calls.append_to, items, 3).result(timeout=20) == ["mine", 3]


@on(*OURS)
def test_map_takes_its_snapshot_too(world: World, pool: Pools, gate: Gate, ledger: str) -> None:
    """What a generator yields again and again is often one and the same object."""
    executor = pool(world, 1)
    executor.submit(calls.wait_for, gate.path, 0, ledger)
    eventually(lambda: calls.read_ledger(ledger))
    row = [0]

    def rows() -> Any:
        for number in range(10):
            row[0] = number
            yield row

    results = executor.map(calls.identity, rows())
    gate.open()

    assert list(results) == [[number] for number in range(10)]


# 16. Keyword transparency ---------------------------------------------------------------------

# fmt: off
NAMES = [
    "self", "fn", "func", "timeout", "queue", "priority", "retries", "countdown", "task_id", "key",
    "workers", "pure", "args", "kwargs", "executor", "name", "chunksize", "call_id", "attempt",
]
# fmt: on


@on(*EVERY)
def test_submit_hands_every_keyword_through(world: World, pool: Pools) -> None:
    """Options of ours in ``submit`` would steal the user's own parameters of that name."""
    executor = pool(world, 2)

    @world.settings()
    @given(st.dictionaries(st.sampled_from(NAMES) | st.text(min_size=1, max_size=6), st.integers()))
    def holds(keywords: dict[str, int]) -> None:
        assert executor.submit(calls.echo_keywords, **keywords).result(timeout=20) == keywords

    everything = dict.fromkeys(NAMES, 1)
    assert executor.submit(calls.echo_keywords, **everything).result(timeout=20) == everything
    holds()
