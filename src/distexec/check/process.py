"""Check mode of a whole process: who asks for it, and the report when the process ends."""

import asyncio
import atexit
import inspect
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from distexec.check.inspector import Inspector
from distexec.check.install import install
from distexec.check.report import as_json, as_text

#: What turns check mode on: ``1``, or the file that the report goes to as JSON.
VARIABLE = "DISTEXEC_CHECK"


class _Watch:
    """The inspectors of this process."""

    def __init__(self) -> None:
        #: Looks at every pool of the process, if check mode is on.
        self.everything: Inspector | None = None
        #: Looks at executors with ``cluster="check"``.
        self.asked: Inspector | None = None


_watch = _Watch()


def watch(inspector: Inspector) -> Callable[[], None]:
    """Let *inspector* look at every call of the process until the function returned is called.

    Programs that use distexec run on threads meanwhile: what a call changes can only be seen where
    caller and call share memory.
    """
    uninstall = install(inspector)
    before, _watch.everything = _watch.everything, inspector

    def end() -> None:
        _watch.everything = before
        uninstall()

    return end


def watch_process() -> None:
    """Check this whole process if ``DISTEXEC_CHECK`` says so, and report when it ends."""
    is_child = multiprocessing.parent_process() is not None
    if is_wanted() and _watch.everything is None and not is_child and not _is_ours():
        inspector = Inspector()
        watch(inspector)
        _report_at_exit(inspector)


def is_wanted() -> bool:
    """Whether the environment asks for check mode."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def is_watching() -> bool:
    """Whether every call of this process is looked at."""
    return _watch.everything is not None


class CheckedPool(ThreadPoolExecutor):
    """Runs the calls of one executor on threads of this process, and looks at them."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Schedule a call; a whole process that is watched looks at it anyway."""
        if inspect.iscoroutinefunction(fn):
            fn = _Awaited(fn)
        if _watch.everything is None:
            if _watch.asked is None:
                _watch.asked = Inspector()
                _report_at_exit(_watch.asked)
            fn = _watch.asked.wrap(fn, args, kwargs)
        return super().submit(fn, *args, **kwargs)


class _Awaited:
    """Runs a coroutine function to its end, as a worker does."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func  # by this name the inspector looks inside

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return asyncio.run(self.func(*args, **kwargs))


def _report_at_exit(inspector: Inspector) -> None:
    process = os.getpid()

    def tell() -> None:
        if os.getpid() != process:
            return  # a fork, which has seen nothing of its own
        wish = os.environ.get(VARIABLE, "")
        if wish not in ("", "0", "1"):
            Path(wish).write_text(as_json(inspector) + "\n", "utf-8")
        print(as_text(inspector), file=sys.stderr)

    atexit.register(tell)


def _is_ours() -> bool:
    """Whether this process runs a command of distexec: a node, the tools."""
    command = sys.orig_argv
    module = [*command[command.index("-m") + 1 :], ""] if "-m" in command else [""]
    script = os.path.basename(sys.argv[0]) if sys.argv else ""
    return module[0].partition(".")[0] == "distexec" or script == "distexec"
