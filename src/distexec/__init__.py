"""`import distexec` in place of `concurrent.futures`: the same code on a cluster of Celery workers.

Every public name of `concurrent.futures` is here. The executors are distributed; constants,
exceptions and the functions that have nothing to distribute are the standard library's own objects.
Importing this package starts nothing.
"""

import concurrent.futures as _standard
import importlib
import os as _os
from typing import TYPE_CHECKING, Any

from distexec.version import __version__

if TYPE_CHECKING:
    from concurrent.futures import (
        ALL_COMPLETED,
        FIRST_COMPLETED,
        FIRST_EXCEPTION,
        BrokenExecutor,
        CancelledError,
        Executor,
        InvalidStateError,
        TimeoutError,
        wait,
    )

    from distexec.client.explaining import Explanation
    from distexec.client.futures import Future
    from distexec.client.handle import Handle
    from distexec.client.statistics import Statistics
    from distexec.engine.local import LocalCluster
    from distexec.errors import (
        CallKilled,
        CallTimeout,
        CallUnpickleError,
        ClusterError,
        ClusterMismatch,
        ClusterRefused,
        ClusterUnavailable,
        DistexecError,
        FrameRejected,
        InitializerFailed,
        LetterGone,
        ModuleMissing,
        NotPicklable,
        PayloadTooLarge,
        Reject,
        RemoteError,
        ResultUnpickleError,
        SecretError,
        ValueLost,
        WindowFull,
        WorkerLost,
    )
    from distexec.executor import (
        DistributedExecutor,
        ExecutorView,
        ProcessPoolExecutor,
        ThreadPoolExecutor,
    )
    from distexec.executor.letters import DeadLetter, dead_letters
    from distexec.progress import as_completed
    from distexec.scheduler import Scheduler
    from distexec.scheduling.priorities import Priority
    from distexec.worker.context import CurrentCall, current_call
    from distexec.worker.progress import Progress, report_progress

#: Our names, and where they are defined. Each module is imported when its name is first used.
_HOMES = {
    "DistributedExecutor": "distexec.executor",
    "ExecutorView": "distexec.executor",
    "DeadLetter": "distexec.executor.letters",
    "dead_letters": "distexec.executor.letters",
    "ThreadPoolExecutor": "distexec.executor",
    "ProcessPoolExecutor": "distexec.executor",
    "Explanation": "distexec.client.explaining",
    "Future": "distexec.client.futures",
    "Handle": "distexec.client.handle",
    "Scheduler": "distexec.scheduler",
    "Statistics": "distexec.client.statistics",
    "LocalCluster": "distexec.engine.local",
    "CurrentCall": "distexec.worker.context",
    "current_call": "distexec.worker.context",
    "Priority": "distexec.scheduling.priorities",
    "Progress": "distexec.worker.progress",
    "report_progress": "distexec.worker.progress",
    "as_completed": "distexec.progress",
    "CallKilled": "distexec.errors",
    "CallTimeout": "distexec.errors",
    "CallUnpickleError": "distexec.errors",
    "ClusterError": "distexec.errors",
    "ClusterMismatch": "distexec.errors",
    "ClusterRefused": "distexec.errors",
    "ClusterUnavailable": "distexec.errors",
    "DistexecError": "distexec.errors",
    "FrameRejected": "distexec.errors",
    "InitializerFailed": "distexec.errors",
    "LetterGone": "distexec.errors",
    "ModuleMissing": "distexec.errors",
    "NotPicklable": "distexec.errors",
    "PayloadTooLarge": "distexec.errors",
    "Reject": "distexec.errors",
    "RemoteError": "distexec.errors",
    "ResultUnpickleError": "distexec.errors",
    "SecretError": "distexec.errors",
    "ValueLost": "distexec.errors",
    "WindowFull": "distexec.errors",
    "WorkerLost": "distexec.errors",
}

__all__ = [
    # As in concurrent.futures.
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenExecutor",
    "CancelledError",
    "Executor",
    "Future",
    "InvalidStateError",
    "ProcessPoolExecutor",
    "ThreadPoolExecutor",
    "TimeoutError",
    "as_completed",
    "wait",
    # Ours.
    "CallKilled",
    "CallTimeout",
    "CallUnpickleError",
    "ClusterError",
    "ClusterMismatch",
    "ClusterRefused",
    "ClusterUnavailable",
    "CurrentCall",
    "DistexecError",
    "DistributedExecutor",
    "DeadLetter",
    "ExecutorView",
    "Explanation",
    "FrameRejected",
    "Handle",
    "InitializerFailed",
    "LocalCluster",
    "LetterGone",
    "ModuleMissing",
    "NotPicklable",
    "PayloadTooLarge",
    "Priority",
    "Progress",
    "Reject",
    "RemoteError",
    "ResultUnpickleError",
    "Scheduler",
    "SecretError",
    "Statistics",
    "ValueLost",
    "WindowFull",
    "WorkerLost",
    "current_call",
    "dead_letters",
    "report_progress",
    "__version__",
]

#: The running Python's own list has more: what has nothing to distribute is handed through.
__all__ += sorted(set(_standard.__all__).difference(__all__))


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is not None:
        value = getattr(importlib.import_module(home), name)
    elif name in __all__:
        value = getattr(_standard, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if _os.environ.get("DISTEXEC_CHECK"):
    from distexec.check import watch_process as _watch_process

    _watch_process()
