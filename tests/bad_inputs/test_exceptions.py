"""Rows 24 to 36: what calls raise, and how they end their worker."""

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

import pytest

from distexec.errors import RemoteError, WorkerLost
from properties import calls
from properties.worlds import EMBEDDED, OURS, Pools, World, on

from . import crashes


@on(*OURS)
def test_exception_that_cannot_be_sent_keeps_its_name_and_text(world: World, pool: Pools) -> None:
    """As itself if it can be rebuilt, else as a RemoteError that tells all there is to tell."""
    error = pool(world, 2).submit(calls.raise_holding_lock).exception(timeout=20)

    assert error is not None and "holds a lock" in str(error)
    if isinstance(error, RemoteError):
        assert error.type_name.endswith("HoldsLock")
        assert "raise_holding_lock" in error.traceback_text
    else:
        assert type(error) is calls.HoldsLock


@pytest.mark.parametrize("raising", [calls.raise_keyword_only, calls.raise_two_arguments])
@on(*OURS)
def test_awkward_constructor_is_never_called_wrongly(
    world: World, pool: Pools, raising: Callable[[], None]
) -> None:
    """Pickle would put a TypeError about ``__init__`` in the place of the real error."""
    error = pool(world, 2).submit(raising).exception(timeout=20)

    assert isinstance(error, calls.KeywordOnly | calls.TwoArguments)
    assert "__init__" not in str(error)


@on("embedded")
def test_exception_of_a_class_that_the_caller_lacks_is_described(world: World, pool: Pools) -> None:
    """A worker may have libraries that the caller has not."""
    error = pool(world, 2).submit(crashes.raise_ghost, os.getpid()).exception(timeout=20)

    assert isinstance(error, RemoteError)
    assert error.type_name == "ghost_module.Ghost"
    assert error.text == "boo" and "raise_ghost" in error.traceback_text


@on(*OURS)
def test_unprintable_exception_has_a_traceback_all_the_same(world: World, pool: Pools) -> None:
    """Formatting it must not raise, neither in the worker nor in the caller."""
    error = pool(world, 2).submit(calls.raise_unprintable).exception(timeout=20)

    assert error is not None
    assert "Unprintable" in type(error).__name__ or "Unprintable" in str(error)
    assert "raise_unprintable" in str(error.__cause__)


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(),
        SystemExit("a text"),
        KeyboardInterrupt(),
        GeneratorExit(),
        MemoryError("by hand"),
        StopIteration("value"),
        StopAsyncIteration(),
        CancelledError(),
        asyncio.CancelledError(),
        BrokenExecutor("somebody else's"),
        BrokenProcessPool("somebody else's"),
        TimeoutError("somebody else's"),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
@on(*OURS)
def test_exception_with_a_meaning_to_us_is_still_the_calls_own(
    world: World, pool: Pools, error: BaseException
) -> None:
    """An exception that the machinery uses itself must not steer it when a call raises it."""
    executor = pool(world, 1)
    before = executor.submit(calls.pid).result(timeout=20)

    future = executor.submit(calls.throw, error)
    received = _exception_of(future)

    assert type(received) is type(error) and received.args == error.args
    assert future.done() and not future.cancelled()
    assert executor.submit(calls.pid).result(timeout=20) == before


def _exception_of(future: Any) -> BaseException | None:
    # Not `exception`: for a CancelledError both ways of saying "cancelled" look alike.
    try:
        future.result(timeout=20)
    except BaseException as error:
        return error
    return None


@on(*OURS)
def test_memory_that_does_not_exist_is_an_error_of_the_call(world: World, pool: Pools) -> None:
    """A plain Celery worker ends itself on a MemoryError, and its neighbours with it."""
    executor = pool(world, 1)
    before = executor.submit(calls.pid).result(timeout=20)

    assert type(executor.submit(calls.zeros, 2**62).exception(timeout=20)) is MemoryError
    assert executor.submit(calls.pid).result(timeout=20) == before


@on(*OURS)
def test_endless_recursion_is_an_error_of_readable_size(world: World, pool: Pools) -> None:
    """Its traceback has a thousand frames, which say the same."""
    executor = pool(world, 2)

    error = executor.submit(crashes.recurse).exception(timeout=20)

    assert type(error) is RecursionError
    assert len(str(error.__cause__)) < 20_000
    assert executor.submit(calls.square, 3).result(timeout=20) == 9


@pytest.mark.parametrize(
    ("crash", "story"),
    [
        (partial(crashes.leave, code=3), "3"),
        (partial(crashes.leave, code=0), "0"),
        (crashes.segfault, "SIGSEGV"),
        (crashes.abort, "SIGABRT"),
        (partial(crashes.kill_itself, number=signal.SIGKILL), "SIGKILL"),
        (partial(crashes.kill_itself, number=signal.SIGTERM), "SIGTERM"),
    ],
    ids=["exit 3", "exit 0", "segfault", "abort", "SIGKILL", "SIGTERM"],
)
@on("embedded")
def test_call_that_kills_its_worker_is_lost_and_alone(
    world: World, pool: Pools, crash: Callable[[int], None], story: str
) -> None:
    """It is tried a bounded number of times; the error tells each; the calls beside it complete."""
    executor = pool(world, 2)

    before = [executor.submit(calls.square, n) for n in range(5)]
    poison = executor.submit(crash, os.getpid())
    after = [executor.submit(calls.square, n) for n in range(5)]

    error = poison.exception(timeout=30)
    assert isinstance(error, WorkerLost)
    assert 1 <= len(error.attempts) <= 3
    assert all(story in line for line in error.attempts)
    assert [f.result(timeout=30) for f in before + after] == [n * n for n in range(5)] * 2


@on(*EMBEDDED)
def test_executor_goes_on_after_a_lost_worker(world: World, pool: Pools) -> None:
    """The standard process pool is broken then, for good."""
    executor = pool(world, 2)

    error = executor.submit(crashes.leave, os.getpid(), 7).exception(timeout=30)

    assert isinstance(error, BrokenProcessPool) and "7" in str(error)
    assert "leave" in str(error)
    assert [executor.submit(calls.square, n).result(timeout=20) for n in range(5)] == [
        n * n for n in range(5)
    ]
