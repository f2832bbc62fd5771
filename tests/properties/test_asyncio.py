"""Property 24: asyncio."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import pytest

from conftest import eventually

from . import calls
from .conftest import Gate
from .worlds import EMBEDDED, EVERY, OURS, STANDARD, Pools, World, on


@on(*STANDARD, "twin", *EMBEDDED)
def test_run_in_executor_carries_results_and_errors(world: World, pool: Pools) -> None:
    """It is how asynchronous programs use an executor."""
    executor = pool(world, 2)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        results = await asyncio.gather(
            *(loop.run_in_executor(executor, calls.square, n) for n in range(20))
        )
        assert results == [n * n for n in range(20)]
        with pytest.raises(calls.Rich) as failure:
            await loop.run_in_executor(executor, calls.raise_rich)
        assert failure.value.code == 42

    _run(main)


@on(*EVERY)
def test_wrapped_future_can_be_awaited(world: World, pool: Pools) -> None:
    """Also when it was done before the loop began."""
    executor = pool(world, 2)
    done: Future[int] = executor.submit(calls.square, 5)
    done.result(timeout=20)

    async def main() -> None:
        running = executor.submit(calls.sleep_then, 0.02, "value")
        assert await asyncio.wrap_future(running) == "value"
        assert await asyncio.wrap_future(done) == 25

    _run(main)


@on(*EVERY)
def test_cancelling_the_awaiting_task_cancels_the_call(
    world: World, pool: Pools, gate: Gate, ledger: str
) -> None:
    """A client that went away must not leave its work in the queue."""
    executor = pool(world, 1)
    blockers = [executor.submit(calls.wait_for, gate.path) for _ in range(4)]
    future = executor.submit(calls.noted, ledger, "ran")

    async def main() -> None:
        task = asyncio.ensure_future(asyncio.wrap_future(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    _run(main)
    gate.open()

    assert future.cancelled()
    for blocker in blockers:
        blocker.result(timeout=20)
    executor.submit(calls.nothing).result(timeout=20)
    assert calls.read_ledger(ledger) == []


@on(*EVERY)
def test_cancelling_the_call_cancels_who_awaits_it(world: World, pool: Pools, gate: Gate) -> None:
    """The other direction: who awaits learns at once that nothing will come."""
    executor = pool(world, 1)
    for _ in range(4):
        executor.submit(calls.wait_for, gate.path)
    future = executor.submit(calls.nothing)

    async def main() -> None:
        waiting = asyncio.wrap_future(future)
        await asyncio.sleep(0)
        assert future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, timeout=5)

    _run(main)


@on(*EVERY)
def test_several_loops_share_one_executor(world: World, pool: Pools) -> None:
    """Each result must wake the loop that waits for it, in whatever thread it runs."""
    executor = pool(world, 3)
    results: list[list[int]] = []

    async def main(start: int) -> None:
        loop = asyncio.get_running_loop()
        numbers = range(start, start + 15)
        results.append(
            await asyncio.gather(
                *(loop.run_in_executor(executor, calls.identity, n) for n in numbers)
            )
        )

    threads = [
        threading.Thread(target=_run, args=(lambda start=100 * n: main(start),)) for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(results) == [list(range(s, s + 15)) for s in (0, 100, 200)]


@on(*EVERY)
def test_executor_survives_a_closed_loop(
    world: World, pool: Pools, gate: Gate, ledger: str, caplog: pytest.LogCaptureFixture
) -> None:
    """``asyncio.run`` per request closes loops with calls under way; the next must go on."""
    executor = pool(world, 2)
    future = executor.submit(calls.wait_for, gate.path, "late")
    eventually(future.running)  # Until then, giving up cancels it.

    async def give_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(future), timeout=0.05)

    async def again() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(executor, calls.square, 7) == 49

    with caplog.at_level(logging.ERROR):
        _run(give_up)
        gate.open()
        assert future.result(timeout=20) == "late"
        eventually(future.done)
        _run(again)

    assert caplog.records == []


@on(*OURS)
def test_coroutine_functions_run_in_the_worker(world: World, pool: Pools) -> None:
    """``async def`` functions are calls like others: the future gets what they return."""
    executor = pool(world, 2)

    assert executor.submit(calls.square_later, 6).result(timeout=20) == 36
    assert list(executor.map(calls.square_later, range(5))) == [0, 1, 4, 9, 16]
    with pytest.raises(ValueError, match="-1"):
        executor.submit(calls.square_later, -1).result(timeout=20)


def _run(main: Callable[[], Awaitable[Any]]) -> None:
    """Run a coroutine in a loop of its own, with an end."""

    async def limited() -> None:
        await asyncio.wait_for(main(), timeout=30)

    asyncio.run(limited())
