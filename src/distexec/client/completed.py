"""`as_completed` for many futures: each is told once where to put itself when it ends."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from distexec.client.futures import Future as OurFuture

T = TypeVar("T")


class _Waiter:
    """What a future calls when it ends: see ``concurrent.futures.Future._waiters``."""

    __slots__ = ("add_cancelled", "add_exception", "add_result")

    def __init__(self, tell: Callable[[Any], None]) -> None:
        self.add_result = self.add_exception = self.add_cancelled = tell


def as_completed(fs: Iterable[Future[T]], timeout: float | None) -> Iterator[Future[T]]:
    """Yield futures as they complete, any library's, each once, and keep none that was yielded.

    As `concurrent.futures.as_completed`, but that takes two locks and an event for each future that
    ends, 2.0 us of the thread that ends it, and this 0.7 us (Python 3.11, two-core machine).

    Raises:
        TimeoutError: Some are not done *timeout* seconds after the first ``next()``.
    """
    end_time = None if timeout is None else time.monotonic() + timeout
    waiting = set(fs)
    total = len(waiting)
    ended: SimpleQueue[Future[T]] = SimpleQueue()
    waiters = (_Waiter(ended.put),)
    try:
        _watch(waiting, waiters)
        while waiting:
            left = None
            if end_time is not None and ended.empty():
                left = end_time - time.monotonic()
                if left < 0:
                    raise TimeoutError(f"{len(waiting)} (of {total}) futures unfinished")
            try:
                found = [ended.get(timeout=left)]
            except Empty:
                continue
            waiting.remove(found[0])
            _leave(found, waiters)
            # What is yielded must not be kept here, by any name.
            yield found.pop()
    finally:
        _leave(waiting, waiters)


def _watch(futures: Iterable[Any], waiters: tuple[_Waiter]) -> None:
    """Let the one waiter know of those that have ended now, of the others later.

    One of ours that nobody else watches refers to *waiters* itself: a list for each of a million
    futures would be a million objects more for the garbage collector.
    """
    (waiter,) = waiters
    for future in futures:
        with future._condition:
            if future._state in (CANCELLED_AND_NOTIFIED, FINISHED):
                waiter.add_result(future)
            elif isinstance(future, OurFuture) and future._watched_by is None:
                future._watched_by = waiters
            else:
                future._waiters.append(waiter)


def _leave(futures: Iterable[Any], waiters: tuple[_Waiter]) -> None:
    """Let none of *futures* know the one waiter any more, whether it did or not."""
    (waiter,) = waiters
    for future in futures:
        with future._condition:
            if isinstance(future, OurFuture) and future._watched_by in (None, waiters):
                future._watched_by = None
            elif waiter in future._waiters:
                future._waiters.remove(waiter)
