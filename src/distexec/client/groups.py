"""Inputs of a `map` that travel as one call, and what becomes of each."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from itertools import islice
from typing import Any

from distexec.client.calls import CallOptions
from distexec.client.channel import Channel
from distexec.wire.exceptions import unpack_exception
from distexec.wire.values import unpack_result


class Group:
    """One call with many inputs. What it does not answer for is submitted again, one by one.

    That is what it could not start in time, and all of it if the call failed as a whole: then one
    input cannot be unpickled, or kills its worker, and the others must not end with it.
    """

    def __init__(
        self,
        channel: Channel,
        function: Callable[..., Any],
        columns: Sequence[Sequence[Any]],
        options: CallOptions,
    ) -> None:
        self._channel, self._function = channel, function
        # By columns: a list of numbers is packed five times as fast as one of tuples.
        self._columns, self._options = tuple(columns), options
        self._results: Sequence[Any] = ()
        self._errors: dict[int, bytes] = {}
        self._singles: list[Future[Any]] = []
        self._failure: BaseException | None = None
        self._received = threading.Event()
        #: How many inputs it has.
        self.count = len(columns[0])
        self._future = channel.submit(function, self._columns, {}, options, inputs=self.count)
        self._future.add_done_callback(self._receive)

    def cancel(self) -> None:
        """Cancel what no worker has taken yet."""
        self._future.cancel()
        for single in self._singles:
            single.cancel()

    @property
    def is_known(self) -> bool:
        """Whether it is known what became of the inputs that ran together."""
        return self._received.is_set()

    def wait(self, timeout: float) -> None:
        """Wait until it is known what became of the inputs that ran together."""
        self._received.wait(timeout)

    def results(self, end_time: float | None) -> Iterator[Any]:
        """Yield the results in order, or raise what the first failing input raised.

        Raises:
            TimeoutError: The next result is not there at *end_time*.
        """
        timeout = None if end_time is None else max(0.0, end_time - time.monotonic())
        if not self._received.wait(timeout):
            self.cancel()
            raise TimeoutError
        try:
            failing = min(self._errors, default=len(self._results))
            yield from self._results[:failing]
            if self._errors:
                raise unpack_exception(self._errors[failing])
            if self._failure is not None:
                raise self._failure
            for single in self._singles:
                yield single.result(None if end_time is None else end_time - time.monotonic())
        finally:
            self.cancel()

    def _receive(self, future: Future[Any]) -> None:
        """Take the outcomes apart, on a callback thread."""
        try:
            if future.cancelled():
                self._failure = CancelledError()
                return
            if future.exception() is None:
                packed, self._errors = future.result()
                self._results = unpack_result(packed)
                self._channel.counters.done += len(self._results) - len(self._errors) - 1
                self._channel.counters.failed += len(self._errors)
            if self._channel.cancelling_since is None:
                self._singles = [
                    self._channel.submit(self._function, args, {}, self._options, late=True)
                    for args in islice(zip(*self._columns, strict=True), len(self._results), None)
                ]
            elif len(self._results) < self.count:
                self._failure = CancelledError()
        except BaseException as error:
            self._failure = error
        finally:
            self._columns = ()
            self._received.set()
