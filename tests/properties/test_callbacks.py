"""Property 9: done-callbacks."""

import logging
import threading
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from conftest import eventually

from . import calls
from .conftest import Gate
from .worlds import EVERY, OURS, Pools, World, on


@on(*EVERY)
def test_callbacks_run_once_each_and_in_order_with_the_future_itself(
    world: World, pool: Pools, gate: Gate
) -> None:
    """Programs count down, chain and clean up in callbacks: none may be lost or doubled."""
    future = pool(world, 2).submit(calls.wait_for, gate.path)
    seen: list[tuple[int, Future[Any]]] = []
    for number in range(10):
        future.add_done_callback(partial(_record, seen, number))

    gate.open()

    eventually(lambda: len(seen) >= 10)
    assert seen == [(number, future) for number in range(10)]


def _record(seen: list[tuple[int, Future[Any]]], number: int, future: Future[Any]) -> None:
    seen.append((number, future))


@on(*EVERY)
def test_callback_added_late_runs_at_once(world: World, pool: Pools) -> None:
    """In the thread that adds it, before ``add_done_callback`` returns."""
    future = pool(world, 2).submit(calls.nothing)
    future.result(timeout=20)
    # The future is done a moment before its first callbacks have run.
    seen: list[threading.Thread] = []

    future.add_done_callback(lambda _: seen.append(threading.current_thread()))

    eventually(lambda: seen)
    assert seen == [threading.current_thread()]


@on(*EVERY)
def test_callback_of_a_cancelled_call_runs(world: World, pool: Pools, gate: Gate) -> None:
    """A cancelled call is done, too; it runs in the thread that cancelled."""
    executor = pool(world, 1)
    futures = [executor.submit(calls.wait_for, gate.path) for _ in range(5)]
    seen: list[Future[Any]] = []
    futures[-1].add_done_callback(seen.append)

    assert futures[-1].cancel()

    assert seen == [futures[-1]]


@on(*EVERY)
def test_callback_that_raises_is_logged_and_stops_no_other(
    world: World, pool: Pools, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """One bad observer must not blind the others, nor go unnoticed."""
    future = pool(world, 2).submit(calls.wait_for, gate.path, "value")
    seen: list[Future[Any]] = []
    future.add_done_callback(lambda _: calls.throw(ValueError("bad observer")))
    future.add_done_callback(seen.append)

    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        gate.open()
        eventually(lambda: seen)

    assert future.result(timeout=20) == "value"
    [record] = [r for r in caplog.records if r.name == "concurrent.futures"]
    assert "exception calling callback" in record.getMessage()
    assert record.exc_info is not None and str(record.exc_info[1]) == "bad observer"


@on(*EVERY)
def test_callback_may_use_the_executor_it_came_from(world: World, pool: Pools) -> None:
    """Chains of calls are built in callbacks; with one worker nothing must wait for itself."""
    executor = pool(world, 1)
    finished: Future[int] = executor.submit(calls.square, 3)
    finished.result(timeout=20)
    chained: list[Future[int]] = []
    late: list[Future[Any]] = []

    def chain(future: Future[int]) -> None:
        future.add_done_callback(late.append)
        chained.append(executor.submit(calls.square, future.result() + finished.result()))

    executor.submit(calls.square, 2).add_done_callback(chain)

    eventually(lambda: chained)
    assert chained[0].result(timeout=20) == (2 * 2 + 3 * 3) ** 2
    assert len(late) == 1


@on(*OURS)
def test_callback_may_wait_for_a_call_that_it_submits(world: World, pool: Pools) -> None:
    """The standard pools hang here; our callbacks run on a thread of their own."""
    executor = pool(world, 1)
    results: list[int] = []

    def chain(future: Future[int]) -> None:
        inner = executor.submit(calls.square, future.result())
        inner.add_done_callback(lambda inner: results.append(inner.result()))
        results.append(inner.result(timeout=20) + 1)

    executor.submit(calls.square, 3).add_done_callback(chain)

    eventually(lambda: len(results) == 2, timeout=20)
    assert sorted(results) == [81, 82]


@on(*EVERY)
def test_slow_callback_loses_nothing(world: World, pool: Pools) -> None:
    """While one callback blocks, calls go on, and in the end every callback has run."""
    executor = pool(world, 2)
    release, reached = threading.Event(), threading.Event()
    seen: list[int] = []

    def block(_: Future[Any]) -> None:
        reached.set()
        release.wait(timeout=20)

    try:
        executor.submit(calls.nothing).add_done_callback(block)
        assert reached.wait(timeout=20)
        futures = [executor.submit(calls.identity, n) for n in range(30)]
        for future in futures:
            future.add_done_callback(lambda future: seen.append(future.result()))
        if world.ours:  # The standard pools run callbacks where they receive results.
            assert [future.result(timeout=20) for future in futures] == list(range(30))
            eventually(lambda: len(seen) == 30)
    finally:
        release.set()

    eventually(lambda: len(seen) == 30)
    assert sorted(seen) == list(range(30))
