"""Properties 1 to 5: maps and iteration."""

import itertools
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import as_completed

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import eventually

from . import calls
from .conftest import Gate
from .worlds import EMBEDDED, EVERY, OURS, Pools, World, on

#: Durations of a call, in seconds: none, less than a trip to a worker, more than one.
DURATIONS = st.sampled_from([0.0, 0.0, 0.001, 0.01])


# 1. Eager map ---------------------------------------------------------------------------------


@on(*EVERY)
def test_map_draws_its_inputs_before_it_returns(world: World, pool: Pools) -> None:
    """Programs rely on side effects of generators, and on changing what they iterate after."""
    drawn: list[int] = []

    results = pool(world, 2).map(calls.identity, _recorded(range(20), drawn))
    drawn_at_once = list(drawn)

    assert drawn_at_once == list(range(20))
    assert list(results) == list(range(20))


@on(*EVERY)
def test_error_of_an_iterable_comes_out_of_map_itself(world: World, pool: Pools) -> None:
    """An input that cannot be produced is the caller's error, and belongs where the caller is."""

    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("no second input")

    with pytest.raises(LookupError, match="no second input"):
        pool(world, 2).map(calls.identity, broken())


@on(*EVERY)
def test_map_stops_at_the_shortest_iterable(world: World, pool: Pools) -> None:
    """As ``zip`` does; without any iterable there is nothing to call."""
    executor = pool(world, 2)

    @world.settings(0.5)
    @given(st.lists(st.integers(), max_size=9), st.lists(st.integers(), max_size=9))
    def holds(left: list[int], right: list[int]) -> None:
        assert list(executor.map(calls.add, left, right)) == list(map(calls.add, left, right))

    holds()
    assert list(executor.map(calls.nothing)) == []


@on(*OURS)
def test_buffersize_bounds_how_far_map_reads_ahead(world: World, pool: Pools) -> None:
    """``buffersize`` (Python 3.14) is what makes a map over an endless input possible."""
    executor = pool(world, 2)

    @world.settings(0.5)
    @given(st.integers(1, 7), st.integers(0, 12))
    def holds(buffersize: int, taken: int) -> None:
        drawn: list[int] = []
        endless = _recorded(itertools.count(), drawn)
        results = executor.map(calls.square, endless, buffersize=buffersize)

        assert len(drawn) <= buffersize
        for number in range(taken):
            assert next(results) == number**2
            assert len(drawn) <= buffersize + number + 1
        results.close()

    holds()


@on(*OURS)
def test_lazy_map_delivers_the_error_of_its_iterable_at_next(world: World, pool: Pools) -> None:
    """Read lazily, an input fails when its turn comes, and not before."""

    def broken() -> Iterator[int]:
        yield from range(3)
        raise LookupError("no fourth input")

    results = pool(world, 2).map(calls.identity, broken(), buffersize=1)

    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(LookupError, match="no fourth input"):
        list(results)


@on(*OURS)
def test_senseless_buffersize_is_refused(world: World, pool: Pools) -> None:
    """As Python 3.14 does."""
    executor = pool(world, 2)

    with pytest.raises(ValueError, match="buffersize"):
        executor.map(calls.identity, [1], buffersize=0)
    with pytest.raises(TypeError, match="buffersize"):
        executor.map(calls.identity, [1], buffersize="1")


# 2. Deadlines ---------------------------------------------------------------------------------


@on(*EVERY)
def test_clock_of_a_map_runs_from_the_call(world: World, pool: Pools, gate: Gate) -> None:
    """The timeout is one budget for the whole map: what the consumer spends is spent."""
    results = pool(world, 2).map(calls.wait_for, [gate.path], timeout=0.3)
    _let_pass(0.35)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        next(results)

    assert time.monotonic() - began < 0.2


@on(*EVERY)
def test_result_that_is_there_is_handed_out_after_the_deadline(
    world: World, pool: Pools, ledger: str
) -> None:
    """A slow consumer loses no work that was done in time."""
    executor = pool(world, 1)
    executor.submit(calls.nothing).result(timeout=20)

    results = executor.map(calls.noted, [ledger] * 3, range(3), timeout=0.2)
    executor.submit(calls.nothing).result(timeout=20)
    _let_pass(0.25)

    assert list(results) == [0, 1, 2]


@on("stdlib-threads", *OURS)
def test_clock_of_as_completed_starts_at_the_first_next(
    world: World, pool: Pools, gate: Gate
) -> None:
    """It is a generator: made early and consumed late, it still has its whole time."""
    future = pool(world, 2).submit(calls.wait_for, gate.path, "done")
    completed = as_completed([future], timeout=0.5)
    _let_pass(0.55)

    gate.open()

    assert next(completed).result(timeout=0) == "done"


# 3. Order under adversity ---------------------------------------------------------------------


@on(*EVERY)
def test_map_gives_the_results_in_the_order_of_the_inputs(world: World, pool: Pools) -> None:
    """Whatever overtakes what, the results are those of the builtin ``map``."""

    @world.settings()
    @given(
        st.lists(st.tuples(st.integers(0, 99), DURATIONS), max_size=30),
        st.integers(1, 8),
        st.sampled_from([1, 3]),
    )
    def holds(inputs: list[tuple[int, float]], chunksize: int, workers: int) -> None:
        numbers, seconds = [n for n, _ in inputs], [s for _, s in inputs]

        results = pool(world, workers).map(
            calls.square_slowly, numbers, seconds, chunksize=chunksize
        )

        assert list(results) == [n * n for n in numbers]

    holds()


@on(*EVERY)
def test_map_without_chunksize_keeps_the_order_of_mixed_durations(
    world: World, pool: Pools
) -> None:
    """Without a chunksize we choose the chunks ourselves, by run times that change under us."""
    seconds = [0.02 if n % 17 == 0 else 0.0 for n in range(120)]

    results = pool(world, 3).map(calls.square_slowly, range(120), seconds)

    assert list(results) == [n * n for n in range(120)]


@on(*EVERY)
def test_first_error_of_a_map_is_that_of_the_first_failing_input(world: World, pool: Pools) -> None:
    """Which error a program sees must not depend on which worker was faster."""

    @world.settings(0.6)
    @given(
        st.lists(st.tuples(st.integers(1, 99), DURATIONS), min_size=1, max_size=15),
        st.data(),
    )
    def holds(inputs: list[tuple[int, float]], data: st.DataObject) -> None:
        failing = data.draw(st.sets(st.integers(0, len(inputs) - 1), min_size=1))
        numbers = [-n if i in failing else n for i, (n, _) in enumerate(inputs)]
        first = min(failing)

        results = pool(world, 3).map(calls.square_slowly, numbers, [s for _, s in inputs])
        before = list(itertools.islice(results, first))

        assert before == [n * n for n in numbers[:first]]
        with pytest.raises(ValueError) as failure:  # noqa: PT011
            next(results)
        assert failure.value.args == (numbers[first],)

    holds()


# 4. Abandoned map -----------------------------------------------------------------------------


@on("stdlib-threads", "twin", *EMBEDDED)
def test_closing_a_map_cancels_what_has_not_started(
    world: World, pool: Pools, gate: Gate, ledger: str
) -> None:
    """Who stops reading has found what they looked for: the rest would be wasted work.

    The standard process pool takes one call more than it runs, and is left out.
    """
    executor = pool(world, 1)
    results = executor.map(
        calls.noted_then_wait,
        *zip(*[(ledger, gate.path, n, 1) for n in range(40)], strict=True),
        chunksize=1,
    )

    assert next(results) == 0
    eventually(lambda: "1" in calls.read_ledger(ledger))
    results.close()
    gate.open()
    executor.submit(calls.noted, ledger, "after").result(timeout=20)

    ran = calls.read_ledger(ledger)
    # A worker may hold one call in its hands: whether that one starts is decided there.
    assert ran in (["0", "1", "after"], ["0", "1", "2", "after"])


@on(*EVERY)
def test_dropping_a_map_ends_it(world: World, pool: Pools, gate: Gate, ledger: str) -> None:
    """A map that nobody holds any more is closed; a ``for`` loop with ``break`` does just that."""
    executor = pool(world, 1)
    for _ in executor.map(
        calls.noted_then_wait,
        *zip(*[(ledger, gate.path, n, 1) for n in range(40)], strict=True),
        chunksize=1,
    ):
        break

    gate.open()
    executor.submit(calls.noted, ledger, "after").result(timeout=20)

    # The standard process pool has taken up to two calls more.
    assert len(calls.read_ledger(ledger)) <= 5


# 5. StopIteration -----------------------------------------------------------------------------


@on(*EVERY)
def test_stop_iteration_of_a_call_is_its_error(world: World, pool: Pools) -> None:
    """It must neither vanish nor end somebody else's loop."""
    future = pool(world, 2).submit(calls.throw_stop_iteration, 3)

    with pytest.raises(StopIteration) as failure:
        future.result(timeout=20)
    assert failure.value.value == 3


@on(*EVERY)
def test_stop_iteration_inside_a_map_does_not_end_it_silently(world: World, pool: Pools) -> None:
    """A map that stopped early would look complete, with results missing."""
    results = pool(world, 2).map(calls.throw_stop_iteration, [1, 2])

    with pytest.raises(RuntimeError, match="generator raised StopIteration"):
        list(results)


def _recorded(inputs: Iterable[int], drawn: list[int]) -> Iterator[int]:
    """Yield the inputs, and record in *drawn* which were asked for."""
    for number in inputs:
        drawn.append(number)
        yield number


def _let_pass(seconds: float) -> None:
    """Wait for an instant: here the passing of time is the event."""
    instant = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= instant)
