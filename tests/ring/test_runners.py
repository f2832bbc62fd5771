"""A lease's threads: when there are more, and what becomes of those that are not needed."""

import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from conftest import eventually
from distexec.scheduling.run_times import RunTimes
from distexec.scheduling.sharing import LEARNED_SECONDS
from distexec.wire.records import CallFlag, Envelope, ExecutorSpec, Sharing
from distexec.worker.hands import Running, Taken
from distexec.worker.runners import Runners

pytestmark = pytest.mark.sources  # Compiled classes take no stand-ins.

FUNCTION = bytes(16)


class Spec:
    sharing, limit = Sharing.LEARNED, 64


class Store:
    """A server with so many entries to take, and room for all threads."""

    def __init__(self, backlog: int = 100) -> None:
        self._backlog = backlog

    def backlog(self) -> int:
        return self._backlog

    def widen(self, threads: int, limit: int) -> int:
        return min(threads, limit)


class Crowd:
    """Runners that are there until they are told to go, and run nothing."""

    def __init__(self, store: Store | None = None) -> None:
        self.begun: list[int] = []
        self._may_go = threading.Event()
        self._lock = threading.RLock()
        self.runners = Runners(
            cast(Any, store or Store()), cast(ExecutorSpec, Spec()), self._lock, self._run_beside
        )

    def _run_beside(self) -> None:
        self.begun.append(threading.get_native_id())
        assert self._may_go.wait(20)
        with self._lock:
            self.runners.retire()

    def come_and_go(self, count: int) -> set[int]:
        """The threads of so many more runners, which are no runners when this returns."""
        self.begun.clear()
        self._may_go.clear()
        assert self.runners.add(count, taken=0, running=1) == count
        eventually(lambda: len(self.begun) == count)
        self._may_go.set()
        eventually(lambda: len(self.runners) == 1)
        return set(self.begun)

    @property
    def threads(self) -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "distexec-runner"]

    def room(self, *calls: Running, known: RunTimes | None = None, now: float) -> int:
        return self.runners.room_for(calls, known or RunTimes(), now)


def running(started_at: float, *, waits: bool = False) -> Running:
    """A call of this thread, which does not compute while nobody looks."""
    call = Envelope(1, FUNCTION, 1, CallFlag.WAITS if waits else CallFlag.NONE, b"")
    taken = Taken(1, call, started_at, runs_alone=False, is_short=False, waits=waits)
    return Running(taken, started_at, threading.get_ident())


def test_threads_rest_and_are_used_again() -> None:
    """The next burst of waits does not pay for making them anew."""
    crowd = Crowd()
    first = crowd.come_and_go(5)
    eventually(lambda: len(crowd.runners._resting) == 5)
    assert crowd.come_and_go(3) < first
    eventually(lambda: len(crowd.runners._resting) == 5)
    assert first < crowd.come_and_go(7)
    eventually(lambda: len(crowd.runners._resting) == 7)

    crowd.runners.join()
    assert not crowd.threads


def test_threads_do_not_rest_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that once had many would keep their memory."""
    monkeypatch.setattr("distexec.worker.runners.REST_SECONDS", 0.01)
    crowd = Crowd()
    crowd.come_and_go(4)
    eventually(lambda: not crowd.threads)
    assert not crowd.runners._resting


def test_calls_are_watched_though_another_has_just_started() -> None:
    """Of many waiting calls one has always just started: the others must be known to wait by then,
    or no look would ever find all of them waiting."""
    crowd, now = Crowd(), time.monotonic()
    old, new = running(now - 1), running(now)

    assert crowd.room(new, old, now=now) == 0
    assert crowd.room(new, old, now=now + LEARNED_SECONDS / 2) == 0
    assert crowd.room(new, old, now=now + 10) == 2


def test_what_its_caller_knows_to_wait_has_threads_beside_it_at_once() -> None:
    """A lease that has just come knows nothing itself, and a burst does not wait until it does."""
    now = time.monotonic()
    assert Crowd().room(running(now, waits=True), now=now) == 15
    assert Crowd().room(running(now), now=now) == 0


def test_what_the_lease_saw_counts_more_than_what_its_caller_knows() -> None:
    """It sees first that a function began to compute."""
    now, known = time.monotonic(), RunTimes()
    known.add(FUNCTION, 0.05, 0.05)
    assert Crowd().room(running(now, waits=True), known=known, now=now) == 0


def test_more_threads_come_when_the_first_calls_were_seen_to_wait() -> None:
    """Sixteen computing threads are a mistake that ends soon, and 64 are too many."""
    now = time.monotonic()
    first, *others = (running(now, waits=True) for _ in range(16))

    assert Crowd().room(*others, now=now) == 0  # Nobody saw any of them before.

    crowd = Crowd()
    assert crowd.room(first, now=now) == 15
    assert crowd.room(first, *others, now=now + 1) == 48


def test_calls_that_compute_against_all_expectation_get_no_more_threads() -> None:
    now = time.monotonic()
    crowd, call = Crowd(), running(now, waits=True)
    assert crowd.room(call, now=now) == 15

    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        later = time.monotonic()
    assert crowd.room(call, running(later, waits=True), now=later) == 0


def test_where_nothing_waits_it_is_asked_again_soon_and_then_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When its first call begins, the others of a burst may be on their way; to ask is not free."""
    now = 100.0
    monkeypatch.setattr("distexec.worker.runners.time", SimpleNamespace(monotonic=lambda: now))
    crowd = Crowd(Store(backlog=0))

    def pause() -> float:
        assert crowd.runners.add(15, taken=0, running=1) == 0
        assert crowd.room(running(0.0, waits=True), now=now) == 0
        return crowd.runners.may_grow_at - now

    pauses = []
    for _ in range(6):
        pauses.append(pause())
        now += pauses[-1]

    assert pauses == pytest.approx([0.0025, 0.005, 0.01, 0.02, 0.02, 0.02])
    now += 1
    assert pause() == pytest.approx(0.0025)
