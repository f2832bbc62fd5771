"""`DistributedExecutor`: calls, options and the end."""

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, cast

from distexec.client.calls import CallOptions, Place
from distexec.client.channel import Channel
from distexec.client.cluster import Cluster
from distexec.client.clusters import find_cluster
from distexec.client.explaining import Explanation, explain
from distexec.client.futures import Future, checked_timeout
from distexec.client.handle import Handle
from distexec.client.registry import check_running, open_channel
from distexec.client.room import Room
from distexec.client.statistics import Statistics, statistics_of
from distexec.executor.arguments import change_place, check_count, modules_of, reject
from distexec.executor.checked import checked_pool
from distexec.executor.views import Viewable
from distexec.settings import Settings
from distexec.wire.records import ExecutorSpec, Sharing
from distexec.wire.values import FunctionPacker, pack_arguments, pack_value, set_by_value

if TYPE_CHECKING:
    from distexec.engine.local import LocalCluster

P = ParamSpec("P")
T = TypeVar("T")

#: The queue that nodes serve unless they are told otherwise.
DEFAULT_QUEUE = "distexec"


class DistributedExecutor(Viewable):
    """Runs calls on a cluster of Celery workers: `concurrent.futures.Executor` on many processes.

    Example:
        >>> with DistributedExecutor() as executor:
        ...     future = executor.submit(pow, 2, 10)
        ...     print(future.result())
        1024

    Args:
        max_workers: Most calls that run at the same time. ``None``: one for each processor of the
            embedded cluster, or for each slot of a remote one.
        thread_name_prefix: Accepted for `concurrent.futures`; shown as the executor's name.
        initializer: Called once in each process that serves this executor, before its first call.
            If it raises, the executor is broken.
        initargs: Arguments of the initializer.
        cluster: The cluster's URL (``redis://``, ``rediss://``, ``redis+socket://``), a
            `LocalCluster`, ``"threads"`` for one in this process, or ``"check"`` to run calls on
            threads as they are and report at exit what would break on a cluster. ``None`` takes
            the URL in ``DISTEXEC_URL``, and else starts an embedded cluster at the first `submit`.
        queue: Queue that calls go to, unless a view says otherwise.
        queues: Queues to choose from instead, for each call: where it is expected to be done first.
        name: Shown in reprs and logs.
        threads: Whether calls may run on threads of one process: ``None`` finds out which calls
            only wait, ``True`` says that they may, ``False`` keeps a process for each.
        max_tasks_per_child: Calls after which a worker process is replaced.
        max_waiting: Calls that may wait in this process for their turn, beside those that were
            sent. While so many do, `submit` waits, except on a callback's or an event loop's
            thread. ``None``: any number, and `submit` never waits.
        submit_timeout: Seconds that `submit` waits then, before it raises `WindowFull`; 0 raises at
            once. ``None``: as long as it takes.
        ship: Modules, or their names or paths, that nodes do not have: sent along by value.

    Raises:
        ValueError: An argument out of range, or a URL that cannot mean a server.
        SecretError: A remote cluster without a secret.
    """

    _broken_type_name = "process"

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        cluster: "str | LocalCluster | None" = None,
        queue: str | None = None,
        queues: Sequence[str] | None = None,
        name: str | None = None,
        threads: bool | None = None,
        max_tasks_per_child: int | None = None,
        max_waiting: int | None = None,
        submit_timeout: float | None = None,
        ship: Sequence[ModuleType | str] = (),
        **unknown: object,
    ) -> None:
        if unknown:
            reject(unknown, "DistributedExecutor", _CONSTRUCTOR_OPTIONS)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        check_count("max_workers", max_workers)
        check_count("max_tasks_per_child", max_tasks_per_child)
        check_count("max_waiting", max_waiting)
        if submit_timeout is not None and max_waiting is None:
            raise ValueError("submit_timeout is for executors with max_waiting")
        self._max_workers = max_workers
        self._options = CallOptions(
            change_place(Place((DEFAULT_QUEUE,)), queue=queue, queues=queues, priority=None)
        )
        self._name = name or thread_name_prefix
        self._sharing = _SHARING[threads]
        self._calls_per_child = max_tasks_per_child
        self._max_waiting, self._submit_timeout = max_waiting, checked_timeout(submit_timeout)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._shutdown = False
        self._channel: Channel | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        #: Runs the calls in their cluster's place, if they are to be checked.
        self._checked = checked_pool(cluster, max_workers, self._name, initializer, initargs)
        if self._checked is not None:
            return
        self._settings = Settings.from_environment()
        self._find_cluster = find_cluster(cluster, self._settings)
        self._initializer = None if initializer is None else FunctionPacker().pack(initializer)
        self._initargs = pack_arguments(tuple(initargs), {})
        if ship:
            set_by_value(modules_of(ship))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule ``fn(*args, **kwargs)``; arguments are those of this moment.

        Does not wait for the call, nor for a worker; but for room, if *max_waiting* was given.
        The first submit connects to the cluster, or starts the embedded one.

        Returns:
            A future. What cannot be sent to another process is its exception.

        Raises:
            TypeError: *fn* cannot be called.
            RuntimeError: The executor was shut down, or the interpreter is ending.
            BrokenExecutor: The initializer failed.
            PayloadTooLarge: The arguments are larger than the cluster carries.
            WindowFull: *max_waiting* calls wait, and no room came in time.
            ClusterError: The cluster cannot be reached, refuses, or does not fit.
        """
        return self._submit(fn, args, kwargs, self._options)

    def _submit(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> Future[Any]:
        if not callable(fn):
            raise TypeError(f"the first argument must be callable, not {type(fn).__name__!r}")
        check_running()
        channel = self._channel
        if channel is None or self._pid != os.getpid():
            if self._checked is not None:
                return cast("Future[Any]", self._checked.submit(fn, *args, **kwargs))
            channel = self._open()
        if channel.room is None:
            return channel.submit(fn, args, kwargs, options)
        with channel.room.entered():
            return channel.submit(fn, args, kwargs, options)

    def put(self, value: T) -> Handle[T]:
        """Send *value* once, for any number of calls.

        Give the handle to calls in place of the value, also inside of lists and other containers:
        there it is the value again, and each call has its own. The value is that of this moment.
        It is kept until the handle is forgotten, or the executor shuts down.

        Raises:
            NotPicklable: It cannot be sent to another process.
            RuntimeError: The executor was shut down, or the interpreter is ending.
            PayloadTooLarge: It is larger than the cluster carries.
            ClusterError: The cluster cannot be reached, refuses, or does not fit.
        """
        check_running()
        if self._checked is not None:
            pack_value(value)
            return cast("Handle[T]", value)  # Calls run here: the value stands for itself.
        channel = self._channel
        if channel is None or self._pid != os.getpid():
            channel = self._open()
        return channel.put(value)

    def _open(self) -> Channel:
        """Join the cluster, at the first submit or put."""
        if self._pid != os.getpid():
            raise RuntimeError(
                "this executor belongs to the process that made it, and this is a fork of that: "
                "make another executor here"
            )
        with self._lock:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._channel is None:
                channel = self._channel = open_channel(self._find_cluster(), self._make_spec)
                self._finalizer = weakref.finalize(self, _drop, channel, self._pid)
                self._finalizer.atexit = False
                if self._max_waiting is not None:
                    channel.room = Room(channel, self._max_waiting, self._submit_timeout)
            return self._channel

    def _make_spec(self, cluster: Cluster) -> ExecutorSpec:
        return ExecutorSpec(
            limit=self._max_workers or cluster.slots(*self._options.place.queues),
            sharing=self._sharing,
            initializer=self._initializer and self._initializer[1],
            initargs=self._initargs,
            log_level=logging.getLogger().level,
            surroundings=cluster.surroundings(),
            calls_per_child=self._calls_per_child,
            name=self._name,
        )

    def _root(self) -> "DistributedExecutor":
        return self

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. May be called again, and from a callback.

        Args:
            wait: Return when every call has ended and the resources are freed.
            cancel_futures: Cancel the calls that no worker has taken.
        """
        if self._pid != os.getpid():
            return
        with self._lock:
            self._shutdown = True
            channel = self._channel
        if self._checked is not None:
            self._checked.shutdown(wait, cancel_futures=cancel_futures)
        if channel is None:
            return
        if cancel_futures:
            channel.cancel_unstarted()
        channel.shut_down()
        if wait:
            channel.join()

    def terminate_workers(self) -> None:
        """End the processes that serve this executor, by SIGTERM, and shut it down.

        Calls that are not settled fail with `WorkerLost`, which is a `BrokenProcessPool`.
        """
        self._end_workers("TERM")

    def kill_workers(self) -> None:
        """End the processes that serve this executor, by SIGKILL, and shut it down.

        Calls that are not settled fail with `WorkerLost`, which is a `BrokenProcessPool`.
        """
        self._end_workers("KILL")

    def _end_workers(self, signal_name: str) -> None:
        channel = self._channel
        if channel is not None and self._pid == os.getpid():
            channel.session.end_workers(channel, signal_name)
        self.shutdown(wait=False, cancel_futures=True)

    def statistics(self) -> Statistics:
        """Counts and times of this executor's calls, as a frozen record."""
        return statistics_of(self._channel)

    def explain(self, future: Future[Any]) -> Explanation:
        """Say where the call of *future* went, or would go now, and which figures decided.

        Print it, or look at its fields. `distexec explain ID` tells the same from elsewhere.

        Raises:
            TypeError: *future* is not one of this executor's.
            ValueError: Its call could not be sent: there is nothing to explain.
        """
        channel = self._channel
        if not isinstance(future, Future) or channel is None:
            raise TypeError(f"explain takes a future of this executor, not {future!r}")
        return explain(channel, future)

    @property
    def _broken(self) -> BaseException | bool:
        """As in the standard library's executors: false, or why no call is taken."""
        channel = self._channel
        return False if channel is None or channel.broken is None else channel.broken

    def __repr__(self) -> str:
        statistics = self.statistics()
        state = "broken" if self._broken else "shut down" if self._shutdown else "running"
        limit = self._max_workers or (self._channel.spec.limit if self._channel else "any number")
        parts = [
            f"<{type(self).__name__}{f' {self._name}' if self._name else ''} {state}",
            f"{statistics.waiting} waiting",
            f"{statistics.sent} in flight of {limit}",
            f"{statistics.leases} leases",
        ]
        return " | ".join(parts) + ">"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be sent to another process: make one there, "
            "a DistributedExecutor() made in a call uses the same cluster"
        )


def _drop(channel: Channel, pid: int) -> None:
    """The executor was forgotten: its calls are finished, and then its channel closes."""
    if pid == os.getpid():
        channel.drop()


_SHARING = {None: Sharing.LEARNED, True: Sharing.THREADS, False: Sharing.NEVER}

_CONSTRUCTOR_OPTIONS = (
    "max_workers",
    "thread_name_prefix",
    "initializer",
    "initargs",
    "cluster",
    "queue",
    "queues",
    "name",
    "threads",
    "max_tasks_per_child",
    "max_waiting",
    "submit_timeout",
    "ship",
)
