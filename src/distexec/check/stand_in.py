"""Puts the inspector in the way of every executor of the process."""

import atexit
import concurrent.futures
import functools
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures.process import ProcessPoolExecutor
from concurrent.futures.thread import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from distexec.check.inspector import Inspector
from distexec.check.report import as_json, as_text


def install(inspector: Inspector) -> Callable[[], None]:
    """Let *inspector* see every call from now on; the function returned takes it away again.

    Programs that use distexec run on threads meanwhile: what a call changes can only be seen where
    caller and call share memory.
    """
    # Methods of classes are replaced here, which no type checker likes.
    thread_class: Any = ThreadPoolExecutor
    process_class: Any = ProcessPoolExecutor
    threads, processes = thread_class.submit, process_class.submit

    @functools.wraps(threads)
    def submit(
        self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        future: Future[Any] = threads(self, inspector.wrap(fn, args, kwargs), *args, **kwargs)
        return future

    @functools.wraps(processes)
    def submit_far(
        self: ProcessPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        inspector.wrap(fn, args, kwargs, shares_memory=False)
        future: Future[Any] = processes(self, fn, *args, **kwargs)
        return future

    thread_class.submit = submit
    process_class.submit = submit_far
    package = sys.modules.get("distexec")
    names = ("DistributedExecutor", "ThreadPoolExecutor", "ProcessPoolExecutor")
    before = {name: vars(package)[name] for name in names if package and name in vars(package)}
    if package is not None:
        for name in names:
            setattr(package, name, OnThreads)

    def uninstall() -> None:
        thread_class.submit = threads
        process_class.submit = processes
        for name in names if package is not None else ():
            if name in before:
                setattr(package, name, before[name])
            else:
                delattr(package, name)

    return uninstall


def watch_process(environment: Mapping[str, str] = os.environ) -> None:
    """Check this whole process if ``DISTEXEC_CHECK`` says so, and report when it ends.

    ``DISTEXEC_CHECK=1`` reports on stderr; any other value but 0 is a file that gets the JSON too.
    """
    wish = environment.get("DISTEXEC_CHECK", "")
    if wish in ("", "0"):
        return
    inspector = Inspector()
    install(inspector)

    def tell() -> None:
        if wish != "1":
            Path(wish).write_text(as_json(inspector) + "\n", "utf-8")
        print(as_text(inspector), file=sys.stderr)

    atexit.register(tell)


class OnThreads(concurrent.futures.ThreadPoolExecutor):
    """distexec's executors on threads of this process, for as long as a program is checked."""

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        **distributed: Any,
    ) -> None:
        if not isinstance(thread_name_prefix, str):
            # The second argument of a process pool is its start method.
            thread_name_prefix = ""
        super().__init__(max_workers, thread_name_prefix, initializer, initargs)

    def options(self, **options: Any) -> "OnThreads":
        """The same executor; where and how often makes no difference here."""
        return self

    def put(self, value: Any) -> Any:
        """The value itself."""
        return value

    def statistics(self) -> None:
        """Nothing to tell."""
        return None
