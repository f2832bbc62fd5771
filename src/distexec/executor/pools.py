"""The standard library's two executors by name and signature; their calls run on the cluster."""

import os
from collections.abc import Callable
from typing import Any

from distexec.executor.distributed import DistributedExecutor


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
