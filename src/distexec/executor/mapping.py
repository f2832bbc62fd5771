"""`Executor.map` as Python 3.14 documents it, for any executor with a `submit`."""

import itertools
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Executor, Future
from typing import Any, TypeVar, cast

from distexec.client.futures import checked_timeout
from distexec.errors import WindowFull
from distexec.progress import show

T = TypeVar("T")


class Mapper(Executor):
    """`Executor.map` as Python 3.14 documents it, for any executor with a `submit`."""

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: bool = False,
    ) -> Iterator[T]:
        """Call *fn* with the items of *iterables*, several at a time; results come in order.

        Args:
            fn: Takes as many arguments as there are iterables.
            timeout: Seconds from now on after which a result that is not there raises.
            chunksize: Inputs that travel and run together as one call.
            buffersize: Calls that may be submitted and not yielded; the iterables are drawn as
                results are taken. ``None`` draws all of them before this method returns.
            progress: Whether to show a bar on stderr, if that is a terminal.

        Raises:
            TimeoutError: From the iterator: the next result is not there in time.
            Exception: From the iterator: what the first failing call raised.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        timeout = checked_timeout(timeout)
        end_time = None if timeout is None else time.monotonic() + timeout
        inputs = zip(*iterables, strict=False)
        results: Iterator[T]
        if chunksize == 1:
            results = self._yield_results(fn, inputs, end_time, buffersize)
        else:
            chunks = ((chunk,) for chunk in _chunks(inputs, chunksize))
            lists = self._yield_results(_Chunked(fn), chunks, end_time, buffersize)
            results = itertools.chain.from_iterable(cast("Iterator[list[T]]", lists))
        return show(results, _length(iterables)) if progress else results

    def _yield_results(
        self,
        fn: Callable[..., Any],
        inputs: Iterator[tuple[Any, ...]],
        end_time: float | None,
        buffersize: int | None,
    ) -> Iterator[Any]:
        first = inputs if buffersize is None else itertools.islice(inputs, buffersize)
        futures: deque[Future[Any]] = deque()
        try:
            for args in first:
                futures.append(self.submit(fn, *args))
        except WindowFull:  # Half of it is of no use to anybody.
            for future in futures:
                future.cancel()
            raise
        # A function of its own: all of the above happens at the call, not at the first `next`.
        return _results(futures, self._reference(), fn, inputs, end_time, buffersize)

    def _reference(self) -> "Callable[[], Mapper | None]":
        """Return what gives this executor back while somebody else holds it."""
        return weakref.ref(self)


class _Chunked:
    """Calls a function for each input of a chunk, in the worker."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.__qualname__ = getattr(function, "__qualname__", type(function).__qualname__)

    def __call__(self, chunk: list[tuple[Any, ...]]) -> list[Any]:
        return [self._function(*args) for args in chunk]


def _length(iterables: tuple[Iterable[Any], ...]) -> int | None:
    """How many inputs there will be, if that can be told before."""
    lengths = [len(each) for each in iterables if isinstance(each, Sized)]
    return min(lengths) if len(lengths) == len(iterables) else None


def _chunks(inputs: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(inputs, size)):
        yield chunk


def _results(
    futures: deque[Future[Any]],
    executor: Callable[[], Mapper | None],
    fn: Callable[..., Any],
    inputs: Iterator[tuple[Any, ...]],
    end_time: float | None,
    buffersize: int | None,
) -> Iterator[Any]:
    """Yield the results in order; whatever ends this, the calls not taken yet are cancelled."""
    try:
        while futures:
            if buffersize is not None:
                alive = executor()
                args = None if alive is None else next(inputs, None)
                if alive is not None and args is not None:
                    futures.append(alive.submit(fn, *args))
                del alive
            timeout = None if end_time is None else end_time - time.monotonic()
            # No name is bound to the future: its result must not live longer than it is used.
            yield _result_or_cancel(futures.popleft(), timeout)
    finally:
        for future in futures:
            future.cancel()


def _result_or_cancel(future: Future[T], timeout: float | None) -> T:
    try:
        try:
            return future.result(timeout)
        finally:
            future.cancel()
    finally:
        # Breaks the cycle with the exception's traceback.
        del future
