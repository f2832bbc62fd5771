"""Rows 15 to 23, and 43 to 45: values that cannot or should not travel."""

import os
import pickle
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distexec.errors import CallUnpickleError, NotPicklable, ResultUnpickleError, WorkerLost
from properties import calls, scripts
from properties.worlds import OURS, Pools, World, on

from . import objects


def _things() -> Iterator[tuple[Any, str]]:
    """Things that belong to one process, and the names of their types."""
    with socket.socket() as connection:
        yield connection, "socket"
    with open(os.devnull) as file:
        yield file, "TextIOWrapper"
    database = sqlite3.connect(":memory:")
    yield database, "sqlite3.Connection"
    database.close()
    yield threading.Lock(), "lock"
    yield (n for n in range(3)), "generator"
    yield threading.current_thread(), "Thread"
    yield Future(), "Future"
    yield sys._getframe(), "frame"


@on(*OURS)
def test_thing_of_one_process_is_refused_by_its_path(world: World, pool: Pools) -> None:
    """At once, and by where it is: "cannot pickle X" alone would start a search."""
    executor = pool(world, 2)
    executor.submit(calls.nothing).result(timeout=20)

    for thing, name in _things():
        for submit, path in (
            (lambda thing=thing: executor.submit(calls.nothing, thing), "args[0]"),
            (lambda thing=thing: executor.submit(calls.nothing, 1, key=thing), "kwargs['key']"),
            (
                lambda thing=thing: executor.submit(
                    calls.nothing, 0, {"deep": [1, SimpleNamespace(conn=thing)]}
                ),
                "args[1]['deep'][1].conn",
            ),
        ):
            future: Future[None] = submit()

            assert future.done()
            error = future.exception()
            assert isinstance(error, NotPicklable) and isinstance(error, pickle.PicklingError)
            assert path in str(error) and name in str(error)


@on("twin")
def test_refused_call_is_never_sent(world: World, pool: Pools) -> None:
    """Nothing half-made reaches a worker, and the counters tell."""
    executor = pool(world, 1)
    before = _count(executor, "sent")

    error = executor.submit(calls.nothing, threading.Lock()).exception(timeout=0)

    assert isinstance(error, NotPicklable)
    assert _count(executor, "sent") == before


@on(*OURS)
def test_function_that_holds_such_a_thing_is_refused(world: World, pool: Pools) -> None:
    """A closure over a lock is how threads synchronise: it must not be copied silently."""
    lock = threading.Lock()

    def guarded() -> int:
        with lock:
            return 1

    error = pool(world, 2).submit(guarded).exception(timeout=0)

    assert isinstance(error, NotPicklable)
    assert "lock" in str(error) and "guarded" in str(error)


@on(*OURS)
def test_input_of_a_map_that_cannot_travel_fails_in_its_turn(world: World, pool: Pools) -> None:
    """A map delivers what was right before it, as it does for every other error."""
    results = pool(world, 2).map(calls.echo, [1, threading.Lock(), 3])

    assert next(results) == ((1,), {})
    with pytest.raises(NotPicklable, match="lock"):
        next(results)


@pytest.mark.parametrize("error", [ValueError("in reduce"), SystemExit(3)])
@on("twin")
def test_object_that_fails_in_pickling_fails_its_future_only(
    world: World, pool: Pools, error: BaseException
) -> None:
    """``__reduce__`` is the user's code, and may do anything: it must not end the caller."""
    executor = pool(world, 2)

    future = executor.submit(calls.nothing, objects.FailsInPickling(error))

    assert future.done() and future.exception() is not None
    assert executor.submit(calls.square, 3).result(timeout=20) == 9


@on("twin")
def test_interrupt_in_pickling_is_the_users(world: World, pool: Pools) -> None:
    """Ctrl-C may come while arguments are pickled: it ends `submit`, and the executor goes on."""
    executor = pool(world, 2)

    with pytest.raises(KeyboardInterrupt):
        executor.submit(calls.nothing, objects.FailsInPickling(KeyboardInterrupt()))

    assert executor.submit(calls.square, 3).result(timeout=20) == 9


@on(*OURS)
def test_argument_that_fails_in_unpickling_fails_its_future_only(world: World, pool: Pools) -> None:
    """CPython's process pool breaks on it. The error says that, and why, the call did not begin."""
    executor = pool(world, 1)
    before = executor.submit(calls.pid).result(timeout=20)

    error = executor.submit(calls.nothing, objects.FailsInUnpickling()).exception(timeout=20)

    assert isinstance(error, CallUnpickleError)
    assert "never again" in str(error) or "never again" in str(error.__cause__)
    assert executor.submit(calls.pid).result(timeout=20) == before


@on("embedded")
def test_argument_that_kills_its_worker_in_unpickling_is_charged_to_its_call(
    world: World, pool: Pools
) -> None:
    """Three deaths, then the error; what waits beside it is unharmed."""
    executor = pool(world, 2)

    poison = executor.submit(calls.nothing, objects.KillsInUnpickling(os.getpid()))
    others = [executor.submit(calls.square, n) for n in range(10)]

    assert isinstance(poison.exception(timeout=30), WorkerLost)
    assert [other.result(timeout=30) for other in others] == [n * n for n in range(10)]


@on(*OURS)
def test_bottomless_argument_is_refused(world: World, pool: Pools) -> None:
    """Deep recursion ends in an error, and not in a crash of the caller."""
    executor = pool(world, 2)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    error = executor.submit(calls.nothing, deep).exception(timeout=20)

    assert isinstance(error, RecursionError | pickle.PicklingError)
    assert "recursi" in str(error).lower()
    assert executor.submit(calls.square, 3).result(timeout=20) == 9
    while deep:  # Its destructor would recurse as well.
        deep = deep[0]


@pytest.mark.parametrize(
    ("call", "what"),
    [("calls.nothing, bytes(3_000_000)", "argument"), ("calls.zeros, 3_000_000", "result")],
    ids=["argument", "result"],
)
@on(*OURS)
def test_payload_above_the_limit_is_refused_with_its_size(
    world: World, tmp_path: Path, call: str, what: str
) -> None:
    """The limit is a setting; without one, Redis would drop the connection at 512 MB."""
    body = f"""
import distexec.errors
with make(1) as executor:
    try:
        error = executor.submit({call}).exception(timeout=20)
    except Exception as raised:
        error = raised
    print(type(error).__name__, error)
    print(executor.submit(calls.zeros, 900_000).result(timeout=20) == bytes(900_000))
"""

    code, output, errors = scripts.run(
        world.name, body, tmp_path, environment={"DISTEXEC_MAX_PAYLOAD_BYTES": "1000000"}
    )

    assert (code, errors) == (0, "")
    assert output.startswith("PayloadTooLarge") and output.endswith("True\n")
    assert "max_payload" in output.lower()


@on("embedded")
def test_large_calls_in_number_all_arrive(world: World, pool: Pools) -> None:
    """What is in flight is bounded by bytes too: the server's memory is not the caller's."""
    executor = pool(world, 2)

    futures = [executor.submit(calls.length_and_ends, bytes(4 * 2**20)) for _ in range(24)]

    assert {future.result(timeout=60)[0] for future in futures} == {4 * 2**20}


# Results --------------------------------------------------------------------------------------


@on(*OURS)
def test_result_that_cannot_travel_is_named(world: World, pool: Pools) -> None:
    """As an argument is: by its type, with what to do instead."""
    executor = pool(world, 2)

    for make, name in (
        (calls.lock, "lock"),
        (objects.make_generator, "generator"),
        (objects.make_future, "Future"),
        (objects.make_nested_lock, "lock"),
    ):
        error = executor.submit(make).exception(timeout=20)

        assert isinstance(error, pickle.PicklingError)
        assert name in str(error)
    assert "['deep'][1]" in str(error)


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
@on(*OURS)
def test_result_that_fails_in_unpickling_fails_its_future_only(
    world: World, pool: Pools, kind: type[BaseException]
) -> None:
    """It runs in our collector, which must survive whatever the user's ``__setstate__`` does."""
    executor = pool(world, 2)

    future = executor.submit(objects.make_failing_here, os.getpid(), kind)
    if not world.apart:
        # In one process, what fails here fails in the worker's thread as well.
        assert future.exception(timeout=20) is not None
    else:
        error = future.exception(timeout=20)
        assert isinstance(error, ResultUnpickleError)
        assert isinstance(error.__cause__, kind)
    assert executor.submit(calls.square, 3).result(timeout=20) == 9


def _count(executor: Executor, name: str) -> int:
    counts: Any = executor.statistics()  # type: ignore[attr-defined]
    return int(counts[name] if isinstance(counts, dict) else getattr(counts, name))
