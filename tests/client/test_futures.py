"""Futures are the standard library's, and their `cancel` reaches the cluster."""

import concurrent.futures as stdlib
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from distexec.client.calls import PendingCall, label_of
from distexec.client.futures import Future
from distexec.client.settling import end

from .test_window import make_call


class Revoker:
    """Says what a test wants of a call."""

    def __init__(self, answer: bool, then: Callable[[], None] = lambda: None) -> None:
        self.answer, self.then, self.asked = answer, then, 0
        self.pid = os.getpid()

    def revoke(self, call: PendingCall) -> bool:
        self.asked += 1
        self.then()
        return self.answer


def attached(revoker: Revoker) -> Future[Any]:
    future: Future[Any] = Future()
    future._attach(make_call(1), revoker)
    return future


def test_a_revoked_call_is_cancelled_for_all_who_wait() -> None:
    """No worker will ever come across it to tell them."""
    revoker = Revoker(True)
    future = attached(revoker)

    assert future.cancel() and future.cancel()
    assert future.cancelled() and future.done()
    assert revoker.asked == 1
    assert stdlib.wait([future], timeout=1).done == {future}
    with pytest.raises(stdlib.CancelledError):
        future.result()


def test_waiters_are_woken_by_the_cancel() -> None:
    """They were there first."""
    future = attached(Revoker(True))
    outcome: list[stdlib.wait] = []
    waiter = threading.Thread(target=lambda: outcome.append(stdlib.wait([future], timeout=10)))
    waiter.start()
    future.cancel()
    waiter.join(10)

    assert outcome[0].done == {future}


def test_a_call_that_cannot_be_revoked_runs() -> None:
    """A worker has it: whoever asks next is told so without asking the cluster again."""
    revoker = Revoker(False)
    future = attached(revoker)

    assert not future.cancel()
    assert future.running()
    assert not future.cancel()
    assert revoker.asked == 1


def test_a_call_that_settles_while_it_is_revoked_is_done() -> None:
    """Its result came in that very moment."""
    future: Future[int] = Future()
    future._attach(make_call(1), Revoker(False, lambda: end(future, result=7)))

    assert not future.cancel()
    assert future.done() and not future.running()
    assert future.result() == 7


def test_an_outcome_lets_go_of_the_call() -> None:
    """Its arguments may be gigabytes."""
    future = attached(Revoker(True))
    end(future, error=ValueError(1))

    assert future._call is None and future._revoker is None
    assert not future.cancel()
    assert isinstance(future.exception(), ValueError)


def test_callbacks_are_left_to_whoever_settles() -> None:
    """The collector runs no user's code; it does not wake a thread for nothing either."""
    silent, heard = attached(Revoker(True)), attached(Revoker(True))
    called: list[int] = []
    heard.add_done_callback(lambda done: called.append(done.result()))

    assert not end(silent, result=1)
    assert end(heard, result=2)

    assert called == []
    heard._invoke_callbacks()
    assert called == [2]


def test_a_future_has_what_the_stdlib_s_has() -> None:
    """`wait`, `as_completed` and asyncio reach into its private attributes."""
    ours, theirs = Future[int](), vars(stdlib.Future())

    assert {name: type(value) for name, value in theirs.items() if name != "_condition"} == {
        name: type(getattr(ours, name)) for name in theirs if name != "_condition"
    }
    assert ours._waiters is ours._waiters
    assert ours._done_callbacks is ours._done_callbacks


def test_late_callbacks_run_at_once() -> None:
    """As the standard library does it, in the caller's thread."""
    future = attached(Revoker(True))
    end(future, result=1)
    called: list[int] = []

    future.add_done_callback(lambda done: called.append(done.result()))

    assert called == [1]


def test_a_forked_copy_cancels_only_itself() -> None:
    """The child has the future, but not the connection: it must not call back its parent's call."""
    revoker = Revoker(True)
    future = attached(revoker)
    revoker.pid += 1

    assert future.cancel()
    assert revoker.asked == 0


class Callable_:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "label"),
    [
        (os.path.join, f"{os.path.join.__module__}.join"),
        (Callable_(), "client.test_futures.Callable_"),
        (len, "builtins.len"),
    ],
)
def test_calls_are_named_as_a_person_would(function: Callable[..., Any], label: str) -> None:
    """Error messages and statistics show it."""
    assert label_of(function) == label
