"""Inputs of a map that travel together: each has an outcome of its own, as if it were a call."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

import distexec
from distexec.executor.mapping import DRAW_SECONDS, LOOK_EVERY, Feed, Mapper
from distexec.scheduling.batching import GroupSize
from distexec.wire.records import CallFlag
from ring import deeds
from ring.learning import freeze

#: Of `freeze`.
pytestmark = pytest.mark.sources

#: Inputs enough for several groups.
MANY = 2000


@pytest.fixture(name="pool")
def make_pool(two_slots: distexec.LocalCluster) -> Iterator[distexec.DistributedExecutor]:
    """An executor that has run something, so that it can be taught."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as pool:
        assert pool.submit(deeds.add_one, 1).result(timeout=60) == 2
        yield pool


def teach(pool: distexec.DistributedExecutor, function: Callable[..., Any]) -> list[int]:
    """Let the executor believe that calls of *function* are short; returns the sizes of groups."""
    channel = freeze(pool, function)
    sizes: list[int] = []
    add = channel.window.add

    def note(call: Any) -> bool:
        if call.flags & CallFlag.GROUP:
            sizes.append(call.inputs)
        return add(call)

    channel.window.add = note  # type: ignore[method-assign]
    return sizes


def test_short_inputs_travel_together_and_come_in_order(pool: distexec.DistributedExecutor) -> None:
    """A call for each would cost a hundred times what the function does."""
    sizes = teach(pool, deeds.add_one)

    assert list(pool.map(deeds.add_one, range(MANY))) == list(range(1, MANY + 1))
    assert max(sizes) > 20 and len(sizes) < MANY / 4
    assert list(pool.map(deeds.add_one, iter(range(MANY)))) == list(range(1, MANY + 1))
    assert pool.statistics().done == 2 * MANY + 1


def test_inputs_go_alone_again_after_a_group(
    pool: distexec.DistributedExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was known of the function when the first inputs left may look like a guess later."""
    sizes = itertools.chain([GroupSize(16)], itertools.repeat(GroupSize(1, is_guess=True)))
    monkeypatch.setattr(pool, "_group_size", lambda fn, remaining: next(sizes))

    assert list(pool.map(deeds.add_one, range(MANY))) == list(range(1, MANY + 1))


@pytest.mark.parametrize("buffersize", [3, 100, 5000])
def test_a_buffer_of_short_inputs_is_never_overdrawn(
    pool: distexec.DistributedExecutor, buffersize: int
) -> None:
    """Inputs that travel together are drawn together, but never before there is room for all of
    them: an endless input, or one made of earlier results, works as it does one by one."""
    sizes = teach(pool, deeds.add_one)
    drawn = 0

    def count() -> Iterator[int]:
        nonlocal drawn
        for number in itertools.count():
            drawn += 1
            yield number

    results = pool.map(deeds.add_one, count(), buffersize=buffersize)
    assert drawn <= buffersize
    for number in range(min(MANY, 100 * buffersize)):
        assert next(results) == number + 1
        assert drawn <= number + 1 + buffersize
    results.close()

    assert max(sizes, default=1) <= max(1, buffersize // 4)
    assert (len(sizes) > 4) is (buffersize >= 100)


def test_a_buffered_map_ends_at_its_first_error(pool: distexec.DistributedExecutor) -> None:
    """As in the standard library: results before it are delivered, and nothing more is drawn."""
    teach(pool, deeds.odd_one_out)
    inputs = iter(range(MANY))
    odd, deed = itertools.repeat(700), itertools.repeat("raise")
    results = pool.map(deeds.odd_one_out, inputs, odd, deed, buffersize=200)

    seen: list[Any] = []
    with pytest.raises(ValueError, match="700"):
        seen.extend(results)

    assert seen == list(range(700))
    assert next(inputs) <= 700 + 200
    assert next(results, None) is None


def test_inputs_that_come_slowly_are_not_gathered(pool: distexec.DistributedExecutor) -> None:
    """A result that is there must not wait until its source has given inputs for a whole group."""
    sizes = teach(pool, deeds.add_one)
    pause = threading.Event()

    def trickle() -> Iterator[int]:
        for number in range(60):
            yield number
            pause.wait(DRAW_SECONDS)

    assert list(pool.map(deeds.add_one, trickle(), buffersize=400)) == list(range(1, 61))
    assert sizes == []


def test_what_is_told_is_done(pool: distexec.DistributedExecutor) -> None:
    """With a chunksize, or with limits for each call, nothing is guessed."""
    sizes = teach(pool, deeds.add_one)

    assert list(pool.map(deeds.add_one, range(100), chunksize=1)) == list(range(1, 101))
    view = pool.options(retries=1)
    assert list(view.map(deeds.add_one, range(100))) == list(range(1, 101))
    assert sizes == []


@pytest.mark.parametrize(
    ("deed", "error"), [("raise", ValueError), ("lock", distexec.NotPicklable)]
)
def test_an_input_that_fails_fails_alone(
    pool: distexec.DistributedExecutor, deed: str, error: type[Exception]
) -> None:
    """Results before it are delivered, and the error is that of this input."""
    teach(pool, deeds.odd_one_out)
    results = pool.map(deeds.odd_one_out, range(MANY), [MANY - 300] * MANY, [deed] * MANY)

    seen: list[Any] = []
    with pytest.raises(error):
        seen.extend(results)
    assert seen == list(range(MANY - 300))


def test_an_input_that_cannot_be_sent_fails_alone(pool: distexec.DistributedExecutor) -> None:
    """Its neighbours are packed without it."""
    teach(pool, deeds.odd_one_out)
    inputs: list[Any] = list(range(MANY))
    inputs[MANY - 300] = threading.Lock()

    seen: list[Any] = []
    with pytest.raises(distexec.NotPicklable):
        seen.extend(pool.map(deeds.odd_one_out, inputs, [-1] * MANY, [""] * MANY))
    assert seen == list(range(MANY - 300))


def test_an_input_that_kills_its_worker_takes_nobody_along(
    pool: distexec.DistributedExecutor,
) -> None:
    """The others of its group run again one by one."""
    teach(pool, deeds.odd_one_out)
    results = pool.map(deeds.odd_one_out, range(600), [550] * 600, ["kill"] * 600)

    seen: list[Any] = []
    with pytest.raises(distexec.WorkerLost):
        seen.extend(results)
    assert seen == list(range(550))


def test_inputs_that_turn_out_slow_are_given_to_others(pool: distexec.DistributedExecutor) -> None:
    """A group of what was thought to be short ends after the first that is not."""
    teach(pool, deeds.odd_one_out)
    sizes = [-1] * MANY
    sizes[-100:] = range(MANY - 100, MANY)

    results = list(pool.map(deeds.odd_one_out, range(MANY), sizes, ["sleep"] * MANY))

    assert results == list(range(MANY))


def test_each_input_has_a_key_of_its_own(pool: distexec.DistributedExecutor) -> None:
    """It is what makes repeating harmless, so two inputs must never share one."""
    teach(pool, deeds.call_id)

    assert len(set(pool.map(deeds.call_id, range(MANY)))) == MANY


def test_what_nobody_looks_at_runs_all_the_same(two_slots: distexec.LocalCluster) -> None:
    """A map is submitted when it is called; the end of the block waits for it."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as pool:
        pool.submit(deeds.odd_one_out, 1, 2, "").result(timeout=60)
        teach(pool, deeds.odd_one_out)
        odd = [-1] * MANY
        odd[500] = 500
        pool.map(deeds.odd_one_out, range(MANY), odd, ["sleep"] * MANY)

    assert pool.statistics().done == MANY + 1


class TaughtByTen(Mapper):
    """Knows after ten calls that they are short."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self.alone: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.alone.append(self._pool.submit(fn, *args, **kwargs))
        return self.alone[-1]

    def _submit_group(self, fn: Callable[..., Any], columns: Any) -> Any:
        group: Future[Any] = Future()
        group.set_result(None)
        return group

    def _group_size(self, fn: Callable[..., Any], most: int | None) -> GroupSize:
        is_told = sum(map(Future.done, self.alone)) >= 10
        return GroupSize(100 if is_told else 1, is_guess=not is_told)


def test_a_map_waits_for_as_many_calls_as_tell() -> None:
    """Not for the first one only: all others would be sent one by one until enough have ended."""
    with ThreadPoolExecutor(1) as threads:
        mapper = TaughtByTen(threads)

        Feed(lambda _: time.sleep(0.001), (range(100_000),), None, groups=True).submit(
            mapper, deque()
        )

    assert len(mapper.alone) == LOOK_EVERY
