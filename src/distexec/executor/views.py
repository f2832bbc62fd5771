"""The same executor with other options for its calls."""

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from distexec.client.calls import NO_LIMITS, CallOptions, Place
from distexec.client.explaining import Explanation
from distexec.client.futures import Future
from distexec.client.groups import Group
from distexec.client.handle import Handle
from distexec.client.registry import check_running
from distexec.client.statistics import Statistics
from distexec.executor.arguments import change_place, reject
from distexec.executor.limits import OPTIONS, Kinds, change_limits
from distexec.executor.mapping import Mapper
from distexec.scheduling.batching import MOST_GROUPED, GroupSize

if TYPE_CHECKING:
    from distexec.executor.distributed import DistributedExecutor

P = ParamSpec("P")
T = TypeVar("T")


class Viewable(Mapper):
    """What has views: an executor, and each of its views."""

    #: Of the calls that are submitted here.
    _options: CallOptions

    def _root(self) -> "DistributedExecutor":
        raise NotImplementedError

    def _group_size(self, fn: Callable[..., Any], remaining: int | None) -> GroupSize:
        channel = self._root()._channel
        if channel is None or self._options.limits != NO_LIMITS:
            return GroupSize(1)
        # Several groups for each that may run: the last ones are not long for the others to wait.
        most = MOST_GROUPED if remaining is None else remaining // (4 * channel.spec.limit)
        return channel.group_size(fn, most)

    def _submit_group(self, fn: Callable[..., Any], columns: Sequence[Sequence[Any]]) -> Group:
        channel = self._root()._channel
        assert channel is not None  # Or else `_group_size` says 1.
        check_running()
        return Group(channel, fn, columns, self._options)

    def options(
        self,
        *,
        queue: str | None = None,
        queues: Sequence[str] | None = None,
        priority: int | None = None,
        name: str | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        retry_on: Kinds | None = None,
        dont_retry_on: Kinds | None = None,
        backoff: float | Sequence[float] | None = None,
        jitter: float | None = None,
        at_most_once: bool | None = None,
        dead_letter: bool | None = None,
        rate_limit: str | float | None = None,
        rate_key: str | None = None,
        max_concurrency: float | None = None,
        key: str | None = None,
        **unknown: object,
    ) -> "ExecutorView":
        """Return a view on this executor whose calls have other options; the rest stays as it is.

        A call with *timeout* or *at_most_once* has a process for itself while it runs.

        Args:
            queue: Queue that the view's calls go to.
            queues: Queues to choose from instead, for each call: where it is expected to be done
                first.
            priority: How urgent they are, from 0 to 9: see `Priority`, 5 by default. The higher
                goes first; of ten calls one is the oldest, so that none starves.
            name: Shown for the view's calls instead of their functions' names.
            timeout: Seconds that an attempt may last, from unpickling to the result; then it ends
                with `CallTimeout`, if need be with its process. Infinity takes a limit away.
            retries: Attempts after one that raised.
            retry_on: Exceptions after which to try again; every `Exception` by default.
            dont_retry_on: Exceptions after which not to, though *retry_on* has them. `Reject`
                is always one.
            backoff: Seconds before the first retry (1 by default), doubled for each that follows;
                or a list: seconds before each, the last one repeated.
            jitter: Share of a pause, from 0 to 1, by which it is made shorter or longer at random.
            at_most_once: Never start a call again that may have started: when its worker is lost,
                it fails with `WorkerLost`.
            dead_letter: Keep a call that is given up on the server, as a dead letter: see
                `dead_letters`.
            rate_limit: So many calls in a time, as ``"100/m"``, ``"5/s"`` or ``"10/30s"``, over all
                callers and nodes of the cluster: an attempt starts an even interval after the last
                one at the earliest. Meanwhile calls hold no slot. Infinity takes a limit away.
            rate_key: What shares the limit: all calls with the same key, whoever makes them. By
                default, the calls of the function, by its module and name.
            max_concurrency: So many calls together, over all callers and nodes of the cluster.
            key: What shares that, likewise.

        Raises:
            TypeError: An option of another type, or one that does not exist.
            ValueError: An option out of range, or options that contradict each other.
        """
        if unknown:
            reject(unknown, "options", ("queue", "queues", "priority", "name", *OPTIONS))
        options = self._options
        return ExecutorView(
            self._root(),
            CallOptions(
                change_place(options.place, queue=queue, queues=queues, priority=priority),
                options.name if name is None else name,
                change_limits(
                    options.limits,
                    timeout=timeout,
                    retries=retries,
                    retry_on=retry_on,
                    dont_retry_on=dont_retry_on,
                    backoff=backoff,
                    jitter=jitter,
                    at_most_once=at_most_once,
                    dead_letter=dead_letter,
                    rate_limit=rate_limit,
                    rate_key=rate_key,
                    max_concurrency=max_concurrency,
                    key=key,
                ),
            ),
        )


class ExecutorView(Viewable):
    """An executor with other options for its calls: see `DistributedExecutor.options`."""

    def __init__(self, executor: "DistributedExecutor", options: CallOptions) -> None:
        self._executor, self._options = executor, options

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As `DistributedExecutor.submit`, with this view's options."""
        return self._executor._submit(fn, args, kwargs, self._options)

    def put(self, value: T) -> Handle[T]:
        """As `DistributedExecutor.put`."""
        return self._executor.put(value)

    def _root(self) -> "DistributedExecutor":
        return self._executor

    def _reference(self) -> Callable[[], Mapper | None]:
        # A view is often made for one `map`, and held by nobody: what counts is its executor.
        reference, options = weakref.ref(self._executor), self._options

        def view_again() -> Mapper | None:
            executor = reference()
            return None if executor is None else ExecutorView(executor, options)

        return view_again

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut the executor down, for all its views."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)

    def explain(self, future: Future[Any]) -> Explanation:
        """As `DistributedExecutor.explain`."""
        return self._executor.explain(future)

    def statistics(self) -> Statistics:
        """The executor's statistics."""
        return self._executor.statistics()

    def __repr__(self) -> str:
        return f"<view on {self._executor!r} | {_named(self._options.place)}>"

    def __reduce__(self) -> NoReturn:
        self._executor.__reduce__()


def _named(place: Place) -> str:
    if len(place.queues) == 1:
        return f"queue {place.queues[0]}"
    return f"queues {', '.join(place.queues)}"
