"""`DistributedExecutor` and its twins under the standard library's names."""

import difflib
import itertools
import logging
import math
import os
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from concurrent.futures import Future as StandardFuture
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, cast

from distexec.client.channel import CallOptions, Channel
from distexec.client.cluster import Cluster
from distexec.client.clusters import find_cluster
from distexec.client.futures import Future, checked_timeout
from distexec.client.registry import check_running, open_channel
from distexec.client.statistics import Statistics, statistics_of
from distexec.settings import Settings
from distexec.wire.records import ExecutorSpec, Sharing
from distexec.wire.values import FunctionPacker, pack_arguments, set_by_value

if TYPE_CHECKING:
    from distexec.engine.local import LocalCluster

P = ParamSpec("P")
T = TypeVar("T")

#: The queue that nodes serve unless they are told otherwise.
DEFAULT_QUEUE = "distexec"

#: More than any cluster has slots: a larger number is a mistake.
MOST_WORKERS = 1_000_000

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class _Mapper(Executor):
    """`Executor.map` as Python 3.14 documents it, for any executor with a `submit`."""

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Call *fn* with the items of *iterables*, several at a time; results come in order.

        Args:
            fn: Takes as many arguments as there are iterables.
            timeout: Seconds from now on after which a result that is not there raises.
            chunksize: Inputs that travel and run together as one call.
            buffersize: Calls that may be submitted and not yielded; the iterables are drawn as
                results are taken. ``None`` draws all of them before this method returns.

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
        if chunksize == 1:
            return self._yield_results(fn, inputs, end_time, buffersize)
        chunks = ((chunk,) for chunk in _chunks(inputs, chunksize))
        lists = self._yield_results(_Chunked(fn), chunks, end_time, buffersize)
        return itertools.chain.from_iterable(cast("Iterator[list[T]]", lists))

    def _yield_results(
        self,
        fn: Callable[..., Any],
        inputs: Iterator[tuple[Any, ...]],
        end_time: float | None,
        buffersize: int | None,
    ) -> Iterator[Any]:
        first = inputs if buffersize is None else itertools.islice(inputs, buffersize)
        futures = deque(self.submit(fn, *args) for args in first)
        # A function of its own: all of the above happens at the call, not at the first `next`.
        return _results(futures, weakref.ref(self), fn, inputs, end_time, buffersize)


class DistributedExecutor(_Mapper):
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
            `LocalCluster`, or ``"threads"`` for one in this process. ``None`` takes the URL in
            ``DISTEXEC_URL``, and else starts an embedded cluster at the first `submit`.
        queue: Queue that calls go to, unless a view says otherwise.
        name: Shown in reprs and logs.
        threads: Whether calls may run on threads of one process: ``None`` finds out which calls
            only wait, ``True`` says that they may, ``False`` keeps a process for each.
        max_tasks_per_child: Calls after which a worker process is replaced.
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
        name: str | None = None,
        threads: bool | None = None,
        max_tasks_per_child: int | None = None,
        ship: Sequence[ModuleType | str] = (),
        **unknown: object,
    ) -> None:
        if unknown:
            _reject(unknown, "DistributedExecutor", _CONSTRUCTOR_OPTIONS)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        _check_count("max_workers", max_workers)
        _check_count("max_tasks_per_child", max_tasks_per_child)
        self._settings = Settings.from_environment()
        self._find_cluster = find_cluster(cluster, self._settings)
        self._max_workers = max_workers
        self._options = CallOptions(_check_queue(DEFAULT_QUEUE if queue is None else queue))
        self._name = name or thread_name_prefix
        self._sharing = _SHARING[threads]
        self._initializer = None if initializer is None else FunctionPacker().pack(initializer)
        self._initargs = pack_arguments(tuple(initargs), {})
        self._calls_per_child = max_tasks_per_child
        if ship:
            set_by_value(_modules(ship))
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._shutdown = False
        self._channel: Channel | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule ``fn(*args, **kwargs)``; arguments are those of this moment.

        Does not wait for the call, nor for a worker. The first submit connects to the cluster, or
        starts the embedded one.

        Returns:
            A future. What cannot be sent to another process is its exception.

        Raises:
            TypeError: *fn* cannot be called.
            RuntimeError: The executor was shut down, or the interpreter is ending.
            BrokenExecutor: The initializer failed.
            PayloadTooLarge: The arguments are larger than the cluster carries.
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
            channel = self._open()
        return channel.submit(fn, args, kwargs, options)

    def _open(self) -> Channel:
        """Join the cluster, at the first submit."""
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
            return self._channel

    def _make_spec(self, cluster: Cluster) -> ExecutorSpec:
        return ExecutorSpec(
            limit=self._max_workers or cluster.slots(self._options.queue),
            sharing=self._sharing,
            initializer=self._initializer and self._initializer[1],
            initargs=self._initargs,
            log_level=logging.getLogger().level,
            surroundings=cluster.surroundings(),
            calls_per_child=self._calls_per_child,
        )

    def options(
        self, *, queue: str | None = None, name: str | None = None, **unknown: object
    ) -> "ExecutorView":
        """Return a view on this executor whose calls have other options.

        Args:
            queue: Queue that the view's calls go to.
            name: Shown for the view's calls instead of their functions' names.
        """
        return _view(self, self._options, queue, name, unknown)

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
        if channel is None:
            return
        if cancel_futures:
            channel.cancel_unstarted()
        channel.shut_down()
        if wait:
            channel.join()

    def statistics(self) -> Statistics:
        """Counts and times of this executor's calls, as a frozen record."""
        return statistics_of(self._channel)

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


class ExecutorView(_Mapper):
    """An executor with other options for its calls: see `DistributedExecutor.options`."""

    def __init__(self, executor: DistributedExecutor, options: CallOptions) -> None:
        self._executor, self._options = executor, options

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As `DistributedExecutor.submit`, with this view's options."""
        return self._executor._submit(fn, args, kwargs, self._options)

    def options(
        self, *, queue: str | None = None, name: str | None = None, **unknown: object
    ) -> "ExecutorView":
        """Return another view: this one's options, but those given."""
        return _view(self._executor, self._options, queue, name, unknown)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut the executor down, for all its views."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)

    def statistics(self) -> Statistics:
        """The executor's statistics."""
        return self._executor.statistics()

    def __repr__(self) -> str:
        return f"<view on {self._executor!r} | queue {self._options.queue}>"

    def __reduce__(self) -> NoReturn:
        self._executor.__reduce__()


class ThreadPoolExecutor(DistributedExecutor):
    """`concurrent.futures.ThreadPoolExecutor` by signature; its calls run on the cluster.

    Calls that wait share worker processes on threads; calls that compute get a process each.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        **distributed: Any,
    ) -> None:
        if max_workers is None:
            max_workers = min(32, (os.cpu_count() or 1) + 4)
        distributed.setdefault("threads", True)
        super().__init__(max_workers, thread_name_prefix, initializer, initargs, **distributed)


class ProcessPoolExecutor(DistributedExecutor):
    """`concurrent.futures.ProcessPoolExecutor` by signature; its calls run on the cluster.

    Each call has a process for itself while it runs. *mp_context* is accepted and has no effect:
    the cluster's workers are not started by this process.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: object = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        **distributed: Any,
    ) -> None:
        if max_workers is None:
            max_workers = os.cpu_count() or 1
        super().__init__(
            max_workers,
            "",
            initializer,
            initargs,
            max_tasks_per_child=max_tasks_per_child,
            threads=False,
            **distributed,
        )

    def terminate_workers(self) -> None:
        """End the processes that serve this executor, by SIGTERM, and shut it down.

        Calls that are not settled fail with `BrokenProcessPool`.
        """
        self._end_workers("TERM")

    def kill_workers(self) -> None:
        """End the processes that serve this executor, by SIGKILL, and shut it down.

        Calls that are not settled fail with `BrokenProcessPool`.
        """
        self._end_workers("KILL")

    def _end_workers(self, signal_name: str) -> None:
        channel = self._channel
        if channel is not None and self._pid == os.getpid():
            channel.session.end_workers(channel, signal_name)
        self.shutdown(wait=False, cancel_futures=True)


class _Chunked:
    """Calls a function for each input of a chunk, in the worker."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.__qualname__ = getattr(function, "__qualname__", type(function).__qualname__)

    def __call__(self, chunk: list[tuple[Any, ...]]) -> list[Any]:
        return [self._function(*args) for args in chunk]


def _chunks(inputs: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(inputs, size)):
        yield chunk


def _results(
    futures: "deque[StandardFuture[Any]]",
    executor: "weakref.ref[_Mapper]",
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


def _result_or_cancel(future: "StandardFuture[T]", timeout: float | None) -> T:
    try:
        try:
            return future.result(timeout)
        finally:
            future.cancel()
    finally:
        # Breaks the cycle with the exception's traceback.
        del future


def _drop(channel: Channel, pid: int) -> None:
    """The executor was forgotten: its calls are finished, and then its channel closes."""
    if pid == os.getpid():
        channel.drop()


def _view(
    executor: DistributedExecutor,
    options: CallOptions,
    queue: str | None,
    name: str | None,
    unknown: dict[str, object],
) -> ExecutorView:
    if unknown:
        _reject(unknown, "options", ("queue", "name"))
    return ExecutorView(
        executor,
        CallOptions(
            options.queue if queue is None else _check_queue(queue),
            options.name if name is None else name,
        ),
    )


_SHARING = {None: Sharing.LEARNED, True: Sharing.THREADS, False: Sharing.NEVER}

_CONSTRUCTOR_OPTIONS = (
    "max_workers",
    "thread_name_prefix",
    "initializer",
    "initargs",
    "cluster",
    "queue",
    "name",
    "threads",
    "max_tasks_per_child",
    "ship",
)


def _reject(unknown: dict[str, object], where: str, known: Sequence[str]) -> NoReturn:
    name = next(iter(unknown))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f". Did you mean {near[0]!r}?" if near else f"; it takes {', '.join(known)}"
    if name == "max_workers":
        hint = ": a view shares its executor's workers, make another executor instead"
    raise TypeError(f"{where}() got an unexpected keyword argument {name!r}{hint}")


def _check_count(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be a whole number, not {value}")
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer or None, not {type(value).__name__}")
    if value <= 0:
        raise ValueError(f"{name} must be greater than 0")
    if value > MOST_WORKERS:
        raise ValueError(f"{name} must be at most {MOST_WORKERS:,}, not {value:,}")


def _check_queue(queue: object) -> str:
    if not isinstance(queue, str):
        raise TypeError(f"a queue's name is a string, not {type(queue).__name__}")
    if not _QUEUE_NAME.fullmatch(queue):
        raise ValueError(
            f"queue name {queue[:80]!r} must be 1 to 64 letters, digits, dots, dashes and "
            "underscores"
        )
    return queue


def _modules(ship: Sequence[ModuleType | str]) -> list[ModuleType]:
    """The modules to send by value, given as such, by name, or by the path of their file."""
    if isinstance(ship, (str, ModuleType)) or not isinstance(ship, Iterable):
        raise TypeError(f"ship takes a list of modules, names or paths, not {ship!r}")
    return [_module(item) for item in ship]


def _module(item: ModuleType | str | os.PathLike[str]) -> ModuleType:
    import importlib
    import sys

    if isinstance(item, ModuleType):
        return item
    if not isinstance(item, str | os.PathLike):
        raise TypeError(f"ship takes modules, names or paths, not {item!r}")
    path = os.path.realpath(item)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file is not None and os.path.realpath(file) in (path, os.path.join(path, "__init__.py")):
            return module
    name = os.fspath(item)
    if os.sep in name or name.endswith(".py"):
        raise ValueError(f"ship: no module loaded from {name!r}: import it first")
    return importlib.import_module(name)
