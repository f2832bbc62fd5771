"""`Executor.map` as Python 3.14 documents it, for any executor with a `submit`."""

import itertools
import math
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any, TypeVar, cast

from distexec.client.futures import checked_timeout
from distexec.client.groups import Group
from distexec.errors import WindowFull
from distexec.progress import show
from distexec.scheduling.batching import GroupSize

T = TypeVar("T")

#: Inputs that a map submits one by one between two looks whether their calls are short. Sixteen
#: take a fifth of a millisecond to submit: too short to matter, long enough to hear of the first.
LOOK_EVERY = 16

#: Seconds that an input takes to submit by itself. While nothing is known of a function, a map
#: without a buffersize waits for its first results as long as it would take to submit all inputs
#: one by one, at most: once their calls prove short, the rest takes a hundredth of that.
SUBMIT_SECONDS = 2e-5
LONGEST_WAIT_SECONDS = 2.0

#: Groups that a map with a buffersize has under way, at least: one is taken, and the others run.
LEAST_AHEAD = 4

#: Seconds that drawing the inputs of one such group may take: results that are there wait for it.
DRAW_SECONDS = 0.005


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
        if chunksize is None or chunksize == 1:
            feed = Feed(fn, iterables, buffersize, groups=chunksize is None)
            results = self._results(feed, end_time)
        else:
            chunks = _chunks(zip(*iterables, strict=False), chunksize)
            feed = Feed(_Chunked(fn), (chunks,), buffersize, groups=False)
            lists = self._results(feed, end_time)
            results = itertools.chain.from_iterable(cast("Iterator[list[T]]", lists))
        return show(results, _length(iterables)) if progress else results

    def _results(self, feed: "Feed", end_time: float | None) -> Iterator[Any]:
        outcomes: deque[Future[Any] | Group] = deque()
        try:
            feed.submit(self, outcomes)
        except WindowFull:  # Half of it is of no use to anybody.
            for outcome in outcomes:
                outcome.cancel()
            raise
        # A function of its own: all of the above happens at the call, not at the first `next`.
        return _yield_results(outcomes, feed, self._reference(), end_time)

    def _group_size(self, fn: Callable[..., Any], remaining: int | None) -> GroupSize:
        """How many of the *remaining* inputs (``None``: nobody knows) to submit together next."""
        return GroupSize(1)

    def _submit_group(self, fn: Callable[..., Any], columns: Sequence[Sequence[Any]]) -> Group:
        raise NotImplementedError

    def _reference(self) -> "Callable[[], Mapper | None]":
        """Return what gives this executor back while somebody else holds it."""
        return weakref.ref(self)


class Feed:
    """Draws a map's inputs and submits them: many as one call, once such calls prove short.

    Args:
        buffersize: Inputs that may be drawn whose results are not taken; ``None`` for all.
        groups: Whether inputs may travel together.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        buffersize: int | None,
        *,
        groups: bool,
    ) -> None:
        self._fn, self._draw, self._length = fn, _columns(iterables), _length(iterables)
        self._buffersize, self._groups = buffersize, groups
        #: Inputs that may be drawn now.
        self._room = math.inf if buffersize is None else buffersize
        self._size, self._drawn, self._is_dry = 1, 0, False
        #: Seconds spent waiting for the first result.
        self._waited = 0.0

    def make_room(self, count: int) -> bool:
        """Note that so many more inputs may be drawn; whether it is time to `submit` some."""
        self._room += count
        return self._room >= self._size and not self._is_dry

    def submit(self, mapper: "Mapper", outcomes: "deque[Future[Any] | Group]") -> None:
        """Submit as many inputs as there is room for; the rest of a group waits for its others."""
        started = time.monotonic()
        while self._room >= self._size and (columns := self._draw(self._size)):
            count = len(columns[0])
            drawn_at = time.monotonic()
            if count == 1:
                outcomes.append(mapper.submit(self._fn, *(column[0] for column in columns)))
            else:
                outcomes.append(mapper._submit_group(self._fn, columns))
            self._drawn += count
            self._room -= count
            if self._groups and (self._size > 1 or self._drawn % LOOK_EVERY == 0):
                self._look(mapper, outcomes, (drawn_at - started) / count)
            started = time.monotonic()
        self._is_dry = self._room >= self._size

    def _look(
        self, mapper: "Mapper", outcomes: "deque[Future[Any] | Group]", draw_seconds: float
    ) -> None:
        """See how many inputs to submit together next; *draw_seconds* were needed for the last."""
        remaining = None if self._length is None else self._length - self._drawn
        if self._buffersize is None:
            size = mapper._group_size(self._fn, remaining)
            while size.is_guess and self._wait(outcomes):
                size = mapper._group_size(self._fn, remaining)
            self._size = size.inputs
            return
        ahead = self._buffersize if remaining is None else min(remaining, self._buffersize)
        inputs, _ = mapper._group_size(self._fn, ahead)
        in_time = int(DRAW_SECONDS / max(draw_seconds, 1e-9))
        self._size = max(1, min(inputs, self._buffersize // LEAST_AHEAD, in_time))

    def _wait(self, outcomes: "deque[Future[Any] | Group]") -> bool:
        """Wait for the next result; false if there is none to wait for, or patience is over."""
        patience = SUBMIT_SECONDS * (self._length or self._drawn)
        patience = min(patience, LONGEST_WAIT_SECONDS) - self._waited
        if patience <= 0:
            return False
        started = time.monotonic()
        last = outcomes[-1]
        if isinstance(last, Group):
            if last.is_known:
                return False
            last.wait(patience)
        elif alone := [each for each in outcomes if isinstance(each, Future) and not each.done()]:
            wait(alone, patience, FIRST_COMPLETED)
        else:
            return False
        self._waited += time.monotonic() - started
        return True


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


def _yield_results(
    outcomes: "deque[Future[Any] | Group]",
    feed: Feed,
    executor: Callable[[], Mapper | None],
    end_time: float | None,
) -> Iterator[Any]:
    """Yield the results in order; whatever ends this, the calls not taken yet are cancelled."""

    def go_on(taken: int) -> None:
        if feed.make_room(taken) and (alive := executor()) is not None:
            feed.submit(alive, outcomes)

    try:
        while outcomes:
            if isinstance(outcomes[0], Group):
                group = cast(Group, outcomes.popleft())
                yield from group.results(end_time)
                go_on(group.count)
                continue
            # As the standard library: for the result that is taken now.
            go_on(1)
            timeout = None if end_time is None else end_time - time.monotonic()
            # No name is bound to the future: its result must not live longer than it is used.
            yield _result_or_cancel(cast("Future[Any]", outcomes.popleft()), timeout)
    finally:
        for outcome in outcomes:
            outcome.cancel()


def _result_or_cancel(future: Future[T], timeout: float | None) -> T:
    try:
        try:
            return future.result(timeout)
        finally:
            future.cancel()
    finally:
        # Breaks the cycle with the exception's traceback.
        del future
