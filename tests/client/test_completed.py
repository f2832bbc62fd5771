"""`as_completed`: what the standard library's does, for futures of any kind."""

import concurrent.futures as stdlib
import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from conftest import eventually
from distexec import as_completed
from distexec.client.futures import Future
from distexec.client.settling import end


def waiters_of(future: stdlib.Future[int]) -> int:
    return len(future._waiters)


@pytest.fixture(name="pool")
def make_pool() -> Iterator[stdlib.ThreadPoolExecutor]:
    with stdlib.ThreadPoolExecutor(4) as pool:
        yield pool


def test_futures_come_as_they_end(pool: stdlib.ThreadPoolExecutor) -> None:
    ours: Future[int] = Future()
    gates = [threading.Event() for _ in range(3)]
    theirs = [pool.submit(gate.wait, 20) for gate in gates]
    completed = as_completed([*theirs, ours, ours, theirs[0]], timeout=20)

    gates[1].set()
    assert next(completed) is theirs[1]
    end(ours, result=1)
    assert next(completed) is ours
    gates[2].set()
    assert next(completed) is theirs[2]
    gates[0].set()
    assert list(completed) == [theirs[0]]


def test_those_that_have_ended_come_whatever_the_timeout() -> None:
    """Cancelled, failed or returned."""
    returned, failed, cancelled, waiting = (Future[int]() for _ in range(4))
    end(returned, result=1)
    end(failed, error=ValueError(1))
    cancelled.cancel()
    cancelled.set_running_or_notify_cancel()
    completed = as_completed([returned, failed, cancelled, waiting], timeout=0)

    assert {next(completed) for _ in range(3)} == {returned, failed, cancelled}
    with pytest.raises(TimeoutError, match=r"^1 \(of 4\) futures unfinished$"):
        next(completed)
    assert waiters_of(waiting) == 0


def test_one_that_is_cancelled_meanwhile_comes(pool: stdlib.ThreadPoolExecutor) -> None:
    future: Future[int] = Future()
    completed = pool.submit(list, as_completed([future], timeout=20))
    eventually(lambda: waiters_of(future) == 1)

    future.cancel()
    future.set_running_or_notify_cancel()

    assert completed.result(timeout=20) == [future]


def test_the_clock_starts_with_the_first_next() -> None:
    future: Future[int] = Future()
    completed = as_completed([future], timeout=0.2)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        next(completed)

    assert time.monotonic() - started >= 0.2


def test_who_stops_early_is_told_nothing_more() -> None:
    futures = [Future[int]() for _ in range(3)]
    end(futures[0], result=1)
    completed = as_completed(futures)
    next(completed)
    assert [waiters_of(future) for future in futures] == [0, 1, 1]

    completed.close()

    assert [waiters_of(future) for future in futures] == [0, 0, 0]


def test_many_may_wait_for_one() -> None:
    """Of any library's, in any order; who leaves takes nobody else along."""
    future = Future[int]()
    first, second = as_completed([future], timeout=0), as_completed([future], timeout=0)
    for completed in (first, second):
        with pytest.raises(TimeoutError):
            next(completed)
    assert waiters_of(future) == 0

    with stdlib.ThreadPoolExecutor(4) as pool:
        waiting = [
            pool.submit(list, as_completed([future], timeout=20)),
            pool.submit(list, stdlib.as_completed([future], timeout=20)),
            pool.submit(list, as_completed([future], timeout=20)),
            pool.submit(stdlib.wait, [future], 20),
        ]
        eventually(lambda: waiters_of(future) == 4)
        end(future, result=1)

        assert [each.result(timeout=20) for each in waiting[:3]] == [[future]] * 3
        assert waiting[3].result(timeout=20) == ({future}, set())
    assert waiters_of(future) == 0


def test_waiting_for_many_makes_nothing_for_each() -> None:
    """The garbage collector would go through it again and again."""
    futures = [Future[int]() for _ in range(1000)]
    completed = as_completed(futures, timeout=0)
    gc.collect()
    objects = len(gc.get_objects())
    end(futures[0], result=1)
    next(completed)
    gc.collect()

    assert len(gc.get_objects()) - objects < 100
    completed.close()
    assert all(future._watched_by is None for future in futures)


def test_nothing_that_came_is_kept() -> None:
    """Results may be large, and there may be a million."""
    futures = [Future[int]() for _ in range(2)]
    known = [weakref.ref(future) for future in futures]
    completed = as_completed(futures)
    end(futures[0], result=1)
    next(completed)
    futures.pop(0)
    gc.collect()
    assert known[0]() is None

    end(futures[0], result=2)
    next(completed)
    futures.clear()
    gc.collect()
    assert known[1]() is None


def test_nothing_is_waited_for_where_nothing_is() -> None:
    assert list(as_completed([], timeout=0)) == []
