"""The same executor with other options for its calls."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

from distexec.client.channel import CallOptions
from distexec.client.futures import Future
from distexec.client.statistics import Statistics
from distexec.executor.arguments import check_queue, reject
from distexec.executor.mapping import Mapper

if TYPE_CHECKING:
    from distexec.executor.distributed import DistributedExecutor

P = ParamSpec("P")
T = TypeVar("T")


class ExecutorView(Mapper):
    """An executor with other options for its calls: see `DistributedExecutor.options`."""

    def __init__(self, executor: "DistributedExecutor", options: CallOptions) -> None:
        self._executor, self._options = executor, options

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As `DistributedExecutor.submit`, with this view's options."""
        return self._executor._submit(fn, args, kwargs, self._options)

    def options(
        self, *, queue: str | None = None, name: str | None = None, **unknown: object
    ) -> "ExecutorView":
        """Return another view: this one's options, but those given."""
        return make_view(self._executor, self._options, queue, name, unknown)

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


def make_view(
    executor: "DistributedExecutor",
    options: CallOptions,
    queue: str | None,
    name: str | None,
    unknown: dict[str, object],
) -> ExecutorView:
    """Return a view with *options*, but those given."""
    if unknown:
        reject(unknown, "options", ("queue", "name"))
    return ExecutorView(
        executor,
        CallOptions(
            options.queue if queue is None else check_queue(queue),
            options.name if name is None else name,
        ),
    )
