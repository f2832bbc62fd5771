"""Rows 1 to 14, and 47 and 48: arguments of the public methods."""

import functools
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any

import pytest

import distexec
from conftest import eventually
from properties import calls
from properties.conftest import Gate
from properties.worlds import OURS, Pools, World, on


@on(*OURS)
def test_submit_without_a_function_is_refused(world: World, pool: Pools) -> None:
    """``fn`` is positional only: by keyword it belongs to the call, which then has no function."""
    executor = pool(world, 2)

    with pytest.raises(TypeError, match="fn"):
        executor.submit()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="fn"):
        executor.submit(fn=calls.nothing)  # type: ignore[call-arg]


@pytest.mark.parametrize("thing", [42, None, "len", [len]])
@on("twin")
def test_what_cannot_be_called_is_refused_at_submit(world: World, pool: Pools, thing: Any) -> None:
    """The standard pools find out in a worker; where the mistake was made is better."""
    executor = pool(world, 2)

    with pytest.raises(TypeError, match="callable"):
        executor.submit(thing)
    with pytest.raises(TypeError, match="callable"):
        list(executor.map(thing, [1]))


@on(*OURS)
def test_wrong_number_of_arguments_is_the_error_of_the_call(world: World, pool: Pools) -> None:
    """With the remote traceback, as any other error of the function."""
    error = pool(world, 2).submit(calls.add, 1).exception(timeout=20)

    assert type(error) is TypeError and "add()" in str(error)
    assert "TypeError" in str(error.__cause__)


@on(*OURS)
def test_endless_input_is_read_in_bounded_portions(world: World, pool: Pools) -> None:
    """A log that never ends is mapped with ``buffersize`` in constant memory."""
    drawn = itertools.count()

    def endless() -> Iterator[int]:
        yield from drawn

    results = pool(world, 2).map(calls.square, endless(), buffersize=16)

    assert list(itertools.islice(results, 300)) == [n * n for n in range(300)]
    assert next(drawn) <= 300 + 16


@on(*OURS)
def test_input_that_fails_in_the_middle_leaves_the_executor_well(world: World, pool: Pools) -> None:
    """What was submitted before the failure settles, and the next call works."""
    executor = pool(world, 2)

    def failing() -> Iterator[int]:
        yield from range(10)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        executor.map(calls.square, failing())
    assert executor.submit(calls.square, 3).result(timeout=20) == 9


@pytest.mark.parametrize("chunksize", [0, -1, 1.5, "4", math.nan])
@on("twin")
def test_senseless_chunksize_is_refused(world: World, pool: Pools, chunksize: Any) -> None:
    """As the standard process pool does: at the call, and not at the first result."""
    with pytest.raises((ValueError, TypeError)):
        pool(world, 2).map(calls.square, [1, 2], chunksize=chunksize)


@pytest.mark.parametrize("workers", [0, -1, math.nan, -math.inf, 1.5, "4"])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: distexec.DistributedExecutor(n, cluster="threads"),
        lambda n: distexec.ThreadPoolExecutor(n),
        lambda n: distexec.ProcessPoolExecutor(n),
    ],
    ids=["DistributedExecutor", "ThreadPoolExecutor", "ProcessPoolExecutor"],
)
def test_senseless_max_workers_is_refused(make: Callable[[Any], object], workers: Any) -> None:
    """By a message that names the option: the number often comes from a configuration."""
    with pytest.raises((ValueError, TypeError), match="max_workers"):
        make(workers)


def test_initializer_must_be_callable() -> None:
    """The standard pools say so in the constructor, by these words."""
    for make in (
        lambda: distexec.DistributedExecutor(1, initializer=42, cluster="threads"),
        lambda: distexec.ThreadPoolExecutor(1, "", 42),
        lambda: distexec.ProcessPoolExecutor(1, None, 42),
    ):
        with pytest.raises(TypeError, match="initializer must be a callable"):
            make()


def test_unknown_option_is_refused_with_the_nearest_name() -> None:
    """A typing error must neither pass silently nor send people to the documentation."""
    with pytest.raises(TypeError, match="max_workers"):
        distexec.DistributedExecutor(max_worker=2, cluster="threads")
    with (
        distexec.DistributedExecutor(1, cluster="threads") as executor,
        pytest.raises(TypeError, match="queue"),
    ):
        executor.options(queu="fast")


@on(*OURS)
def test_negative_timeout_has_passed_already(world: World, pool: Pools, gate: Gate) -> None:
    """A remaining time that is computed may well be below zero."""
    executor = pool(world, 2)
    future = executor.submit(calls.wait_for, gate.path)
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        future.result(timeout=-1)
    with pytest.raises(TimeoutError):
        future.exception(timeout=-1)
    with pytest.raises(TimeoutError):
        next(executor.map(calls.wait_for, [gate.path], timeout=-1))
    assert time.monotonic() - began < 2


@on("twin")
def test_timeout_that_is_no_number_is_refused(world: World, pool: Pools, gate: Gate) -> None:
    """NaN compares as false with everything, and would make a wait without an end."""
    executor = pool(world, 2)
    future = executor.submit(calls.wait_for, gate.path)

    for wait in (future.result, future.exception):
        with pytest.raises(ValueError, match="timeout"):
            wait(timeout=math.nan)
        with pytest.raises(TypeError):
            wait(timeout="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout"):
        executor.map(calls.nothing, [1], timeout=math.nan)
    with pytest.raises(TypeError):
        executor.map(calls.nothing, [1], timeout="1")  # type: ignore[arg-type]


@on("twin")
def test_infinite_timeout_waits_for_as_long_as_it_takes(world: World, pool: Pools) -> None:
    """``math.inf`` is how many programs write "none"."""
    executor = pool(world, 2)

    assert executor.submit(calls.sleep_then, 0.1, 1).result(timeout=math.inf) == 1
    assert executor.submit(calls.sleep_then, 0.1).exception(timeout=math.inf) is None
    assert list(executor.map(calls.sleep_then, [0.1], [2], timeout=math.inf)) == [2]


@on(*OURS)
def test_arguments_need_not_be_hashable(world: World, pool: Pools) -> None:
    """Nothing is hashed, and default arguments that change are the worker's own affair."""
    executor = pool(world, 2)

    assert executor.submit(calls.echo, [], {}, key={1, 2}).result(timeout=20) == (
        ([], {}),
        {"key": {1, 2}},
    )

    def remember(item: int, items: list[int] = []) -> int:  # noqa: B006
        items.append(item)
        return item

    assert [executor.submit(remember, n).result(timeout=20) for n in range(3)] == [0, 1, 2]
    assert remember.__defaults__ == ([],)


@on(*OURS)
def test_functions_of_every_make_can_be_submitted(world: World, pool: Pools) -> None:
    """Decorated, cached, generated, of a local class: thread pools never asked."""
    executor = pool(world, 2)

    def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args) + 1

        return wrapper

    @decorator
    def decorated(number: int) -> int:
        return number

    @functools.lru_cache
    def cached(number: int) -> int:
        return number

    class Local:
        factor = 2

        def method(self, number: int) -> int:
            return self.factor * number

        @property
        def own(self) -> Callable[[int], int]:
            return self.method

    functions = [
        decorated,
        cached,
        Local().method,
        Local().own,
        functools.partial(lambda a, b: a - b, 10),
        functools.singledispatch(lambda number: number * 5),
        eval("lambda number: number ** 2"),
        decorator(calls.square),
    ]

    results = [executor.submit(function, 4).result(timeout=20) for function in functions]
    assert results == [5, 4, 8, 8, 6, 20, 16, 17]


# After the end --------------------------------------------------------------------------------


@on("twin")
def test_everything_is_refused_after_shutdown(world: World) -> None:
    """Also on a view of the executor, and by the standard's words."""
    executor = distexec.DistributedExecutor(1, cluster="threads")
    view = executor.options(name="a view")
    executor.shutdown()

    for late in (executor, view):
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            late.submit(calls.nothing)
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            late.map(calls.nothing, [1])


class _Owner:
    """An object that shuts its executor down when it is collected, as many wrappers do."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def __del__(self) -> None:
        self.executor.shutdown()


@on(*OURS)
def test_shutdown_from_a_finaliser_or_another_thread_ends(world: World) -> None:
    """A finaliser runs anywhere, also while another thread is in shutdown."""
    owner: _Owner | None = _Owner(world.make(1))
    assert owner is not None
    future = owner.executor.submit(calls.square, 3)
    thread = threading.Thread(target=owner.executor.shutdown, daemon=True)
    thread.start()

    owner = None

    thread.join(timeout=20)
    assert not thread.is_alive()
    eventually(future.done)
    assert future.result() == 9
