"""Properties 10 to 13: exceptions that calls raise."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import _RemoteTraceback
from typing import Any

import pytest

from conftest import eventually

from . import calls
from .worlds import EVERY, OURS, STANDARD, Pools, World, on

#: The standard process pool drops causes and contexts, and breaks on what it cannot unpickle.
FAITHFUL = ("stdlib-threads", *OURS, "embedded-processes")

# 10. Identity ---------------------------------------------------------------------------------


@on(*EVERY)
def test_future_has_one_exception_object(world: World, pool: Pools) -> None:
    """Programs compare, annotate and re-raise it: every way of asking gives the same object."""
    future = pool(world, 2).submit(calls.raise_rich)
    seen: list[BaseException | None] = []
    future.add_done_callback(lambda future: seen.append(future.exception()))

    asked = [future.exception(timeout=20), future.exception()]
    for _ in range(2):
        with pytest.raises(calls.Rich) as failure:
            future.result()
        asked.append(failure.value)
    eventually(lambda: seen)

    assert {id(error) for error in asked + seen} == {id(asked[0])}


@on(*EVERY)
def test_type_arguments_attributes_and_notes_survive(world: World, pool: Pools) -> None:
    """Handlers decide by them: ``except Rich as error: if error.code == 42``."""
    error = pool(world, 2).submit(calls.raise_rich).exception(timeout=20)

    assert type(error) is calls.Rich
    assert error.args == (42, "top")
    assert (error.code, error.text, error.extra) == (42, "top", ["an", "attribute"])  # type: ignore[attr-defined]
    assert error.__notes__ == ["a note"]


@on(*FAITHFUL)
def test_cause_and_context_survive(world: World, pool: Pools) -> None:
    """They tell why; a log without them is half a log."""
    executor = pool(world, 2)

    error = executor.submit(calls.raise_rich).exception(timeout=20)
    cause = own_cause(error)
    root = own_cause(cause)
    in_context = executor.submit(calls.raise_in_context).exception(timeout=20)

    assert type(cause) is OSError and cause.args == (5, "middle")
    assert type(root) is KeyError and root.args == ("root",)
    assert in_context is not None
    assert type(in_context.__context__) is KeyError and in_context.__context__.args == ("context",)


@on(*EVERY)
def test_members_of_an_exception_group_survive(world: World, pool: Pools) -> None:
    """``except*`` takes a group apart, however deep."""
    error = pool(world, 2).submit(calls.raise_group).exception(timeout=20)

    assert type(error) is ExceptionGroup and error.message == "several"
    first, inner = error.exceptions
    assert type(first) is ValueError and first.args == (1,)
    assert isinstance(inner, ExceptionGroup) and inner.message == "inner"
    [deep] = inner.exceptions
    assert type(deep) is calls.Rich and deep.code == 2


@on("stdlib-processes", *OURS)
def test_remote_traceback_is_the_cause_and_shows_the_source(world: World, pool: Pools) -> None:
    """What CPython's own tests look for, and what a person reads first."""
    error = pool(world, 2).submit(calls.raise_rich).exception(timeout=20)

    assert error is not None
    assert type(error.__cause__) is _RemoteTraceback
    text = str(error.__cause__)
    assert "raise rich from error" in text and "calls.py" in text and "raise_rich" in text


@on(*OURS)
def test_traceback_has_the_frames_of_the_worker(world: World, pool: Pools) -> None:
    """A debugger or an error tracker walks frames, and does not read text."""
    error = pool(world, 2).submit(calls.raise_rich).exception(timeout=20)

    assert error is not None
    names = []
    frame = error.__traceback__
    while frame is not None:
        names.append(frame.tb_frame.f_code.co_name)
        frame = frame.tb_next
    assert "raise_rich" in names


def own_cause(error: BaseException | None) -> BaseException | None:
    """Return the cause that the call gave to its error, behind the remote traceback if any."""
    assert error is not None
    cause = error.__cause__
    return cause.__cause__ if isinstance(cause, _RemoteTraceback) else cause


# 11. Falsy exceptions -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [calls.FalsyByBool, calls.FalsyByLength])
@on(*OURS, "embedded-processes")
def test_falsy_exception_still_fails_the_future(
    world: World, pool: Pools, kind: type[Exception]
) -> None:
    """``if error:`` is the classic slip, and makes the call look as if it returned None.

    The standard pools had it until Python 3.13, and are left out.
    """
    future = pool(world, 2).submit(calls.throw, kind("falsy"))

    assert type(future.exception(timeout=20)) is kind
    with pytest.raises(kind, match="falsy"):
        future.result()


# 12. Unhelpful exceptions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raising", "name"),
    [
        (calls.raise_two_arguments, "TwoArguments"),
        (calls.raise_keyword_only, "KeywordOnly"),
        (calls.raise_holding_lock, "HoldsLock"),
        (calls.raise_local, "OnlyHere"),
        (calls.raise_unprintable, "Unprintable"),
    ],
)
@on(*FAITHFUL)
def test_exception_that_resists_pickling_fails_its_future_only(
    world: World, pool: Pools, raising: Callable[[], None], name: str
) -> None:
    """The standard process pool breaks here; the user needs the name of what was raised."""
    executor = pool(world, 2)

    error = executor.submit(raising).exception(timeout=20)

    assert error is not None
    assert name in type(error).__name__ or name in str(error)
    assert executor.submit(calls.square, 3).result(timeout=20) == 9


@on(*FAITHFUL)
def test_exception_with_an_awkward_constructor_keeps_its_class(world: World, pool: Pools) -> None:
    """``except TwoArguments`` must go on catching it; pickle alone would raise a TypeError."""
    executor = pool(world, 2)

    two = executor.submit(calls.raise_two_arguments).exception(timeout=20)
    keyword = executor.submit(calls.raise_keyword_only).exception(timeout=20)

    assert type(two) is calls.TwoArguments
    assert (two.first, two.second, str(two)) == ("one", "two", "one and two")
    assert type(keyword) is calls.KeywordOnly
    assert (keyword.reason, str(keyword)) == ("it must", "because it must")


# 13. BaseException ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt("by the call"),
        SystemExit(3),
        GeneratorExit("by the call"),
        BaseException("by the call"),
    ],
    ids=lambda error: type(error).__name__,
)
@on(*EVERY)
def test_base_exception_comes_back_and_the_worker_lives_on(
    world: World, pool: Pools, error: BaseException
) -> None:
    """Libraries call ``sys.exit``; a Celery worker dies of it, and takes its neighbours along."""
    executor = pool(world, 1)
    before = executor.submit(calls.pid).result(timeout=20)

    future: Future[Any] = executor.submit(calls.throw, error)
    received = future.exception(timeout=20)

    assert type(received) is type(error) and received.args == error.args
    assert executor.submit(calls.pid).result(timeout=20) == before


@on(*EVERY)
def test_code_of_system_exit_survives(world: World, pool: Pools) -> None:
    """It is where programs put their verdict."""
    error = pool(world, 1).submit(calls.throw, SystemExit(3)).exception(timeout=20)

    assert isinstance(error, SystemExit) and error.code == 3


@on(*STANDARD, *OURS)
def test_errors_of_many_threads_do_not_mix(world: World, pool: Pools) -> None:
    """Each future gets the error of its own call."""
    executor = pool(world, 3)
    wrong: list[object] = []

    def submit(start: int) -> None:
        for number in range(start, start + 20):
            error = executor.submit(calls.throw, ValueError(number)).exception(timeout=20)
            if type(error) is not ValueError or error.args != (number,):
                wrong.append(error)

    threads = [threading.Thread(target=submit, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert wrong == []
