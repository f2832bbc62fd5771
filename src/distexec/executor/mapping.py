"""`Executor.map` as Python 3.14 documents it, for any executor with a `submit`."""

import itertools
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Executor, Future
from typing import Any, TypeVar, cast

from distexec.client.futures import checked_timeout
from distexec.client.groups import Group
from distexec.errors import WindowFull
from distexec.progress import show

T = TypeVar("T")

#: Inputs that a map submits one by one between two looks whether their calls are short. Sixteen
#: take a fifth of a millisecond to submit: too short to matter, long enough to hear of the first.
LOOK_EVERY = 16


class Mapper(Executor):
    """`Executor.map` as Python 3.14 documents it, for any executor with a `submit`."""

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        progress: bool = False,
    ) -> Iterator[T]:
        """Call *fn* with the items of *iterables*, several at a time; results come in order.

        Args:
            fn: Takes as many arguments as there are iterables.
            timeout: Seconds from now on after which a result that is not there raises.
            chunksize: Inputs that travel and run together as one call, and fail with the first of
                them that does. ``None`` lets inputs of short calls travel together, each with an
                outcome of its own.
            buffersize: Calls that may be submitted and not yielded; the iterables are drawn as
                results are taken. ``None`` draws all of them before this method returns.
            progress: Whether to show a bar on stderr, if that is a terminal.

        Raises:
            TimeoutError: From the iterator: the next result is not there in time.
            Exception: From the iterator: what the first failing call raised.
        """
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        timeout = checked_timeout(timeout)
        end_time = None if timeout is None else time.monotonic() + timeout
        results: Iterator[T]
        if chunksize is None and buffersize is None:
            outcomes = self._submit_all(fn, iterables)
            results = _results(outcomes, weakref.ref(self), fn, iter(()), end_time, None)
        elif chunksize is None or chunksize == 1:
            inputs = zip(*iterables, strict=False)
            results = self._yield_results(fn, inputs, end_time, buffersize)
        else:
            chunks = ((chunk,) for chunk in _chunks(zip(*iterables, strict=False), chunksize))
            lists = self._yield_results(_Chunked(fn), chunks, end_time, buffersize)
            results = itertools.chain.from_iterable(cast("Iterator[list[T]]", lists))
        return show(results, _length(iterables)) if progress else results

    def _submit_all(
        self, fn: Callable[..., Any], iterables: tuple[Iterable[Any], ...]
    ) -> "deque[Future[Any] | Group]":
        """Submit a call for each input; for many at a time, once such calls prove short."""
        outcomes: deque[Future[Any] | Group] = deque()
        length = _length(iterables)
        drawn, size = 0, 1
        columns_of = _columns(iterables)
        try:
            while columns := columns_of(size):
                count = len(columns[0])
                if count == 1:
                    outcomes.append(self.submit(fn, *(column[0] for column in columns)))
                else:
                    outcomes.append(self._submit_group(fn, columns))
                drawn += count
                if size > 1 or drawn % LOOK_EVERY == 0:
                    size = self._group_size(fn, None if length is None else length - drawn)
        except WindowFull:  # Half of it is of no use to anybody.
            for outcome in outcomes:
                outcome.cancel()
            raise
        return outcomes

    def _group_size(self, fn: Callable[..., Any], remaining: int | None) -> int:
        """How many of the *remaining* inputs (``None``: nobody knows) to submit together next."""
        return 1

    def _submit_group(self, fn: Callable[..., Any], columns: Sequence[Sequence[Any]]) -> Group:
        raise NotImplementedError

    def _yield_results(
        self,
        fn: Callable[..., Any],
        inputs: Iterator[tuple[Any, ...]],
        end_time: float | None,
        buffersize: int | None,
    ) -> Iterator[Any]:
        first = inputs if buffersize is None else itertools.islice(inputs, buffersize)
        futures: deque[Future[Any] | Group] = deque()
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


def _columns(
    iterables: tuple[Iterable[Any], ...],
) -> Callable[[int], tuple[Sequence[Any], ...]]:
    """What draws so many inputs, by columns: all first arguments, all second ones, and so on."""
    if len(iterables) == 1:
        (items,) = map(iter, iterables)

        def draw_column(size: int) -> tuple[Sequence[Any], ...]:
            column = list(itertools.islice(items, size))
            return (column,) if column else ()

        return draw_column
    inputs = zip(*iterables, strict=False)
    return lambda size: tuple(zip(*itertools.islice(inputs, size), strict=True))


def _length(iterables: tuple[Iterable[Any], ...]) -> int | None:
    """How many inputs there will be, if that can be told before."""
    lengths = [len(each) for each in iterables if isinstance(each, Sized)]
    return min(lengths, default=0) if len(lengths) == len(iterables) else None


def _chunks(inputs: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(inputs, size)):
        yield chunk


def _results(
    futures: "deque[Future[Any] | Group]",
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
            if isinstance(futures[0], Group):
                yield from cast(Group, futures.popleft()).results(end_time)
                continue
            timeout = None if end_time is None else end_time - time.monotonic()
            # No name is bound to the future: its result must not live longer than it is used.
            yield _result_or_cancel(cast("Future[Any]", futures.popleft()), timeout)
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
