"""Puts an inspector in the way of every pool of the process."""

import functools
import multiprocessing.pool
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures.process import ProcessPoolExecutor
from concurrent.futures.thread import ThreadPoolExecutor
from typing import Any

from distexec.check.inspector import Inspector

Restore = Callable[[], None]


def install(inspector: Inspector) -> Restore:
    """Let *inspector* see every call from now on; the function returned takes it away again."""
    undo = [*_watch_executors(inspector), *_watch_pools(inspector)]

    def uninstall() -> None:
        for restore in reversed(undo):
            restore()

    return uninstall


def _replace(owner: Any, name: str, new: Callable[..., Any]) -> Restore:
    old = vars(owner)[name]
    setattr(owner, name, functools.wraps(old)(new))
    return lambda: setattr(owner, name, old)


def _watch_executors(inspector: Inspector) -> list[Restore]:
    near, far = ThreadPoolExecutor.submit, ProcessPoolExecutor.submit

    def submit(
        self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        return near(self, inspector.wrap(fn, args, kwargs), *args, **kwargs)

    def submit_far(
        self: ProcessPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        inspector.wrap(fn, args, kwargs, shares_memory=False)
        return far(self, fn, *args, **kwargs)

    return [
        _replace(ThreadPoolExecutor, "submit", submit),
        _replace(ProcessPoolExecutor, "submit", submit_far),
    ]


def _watch_pools(inspector: Inspector) -> list[Restore]:
    """The pools of multiprocessing: all of their methods come down to these four."""
    kind: Any = multiprocessing.pool.Pool
    unpacking = vars(multiprocessing.pool)["starmapstar"]
    apply_async, map_async, imap, imap_unordered = (
        vars(kind)[name] for name in ("apply_async", "_map_async", "imap", "imap_unordered")
    )

    def apply(
        self: Any,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] = {},  # noqa: B006  # as it is there; nobody writes to it
        *rest: Any,
        **options: Any,
    ) -> Any:
        near, given = _is_near(self), tuple(args)
        look = inspector.wrap(func, given, kwds, shares_memory=near)
        return apply_async(self, look if near else func, given, kwds, *rest, **options)

    def map(self: Any, func: Any, iterable: Any, mapper: Any, *rest: Any, **options: Any) -> Any:
        if _is_near(self):
            func = inspector.wrap_each(func)
        else:
            iterable = inspector.noted(func, iterable, unpack=mapper is unpacking)
        return map_async(self, func, iterable, mapper, *rest, **options)

    def lazily(method: Any) -> Callable[..., Any]:
        def imap(self: Any, func: Any, iterable: Any, *rest: Any, **options: Any) -> Any:
            if _is_near(self):
                func = inspector.wrap_each(func)
            else:
                iterable = inspector.noted(func, iterable, unpack=False)
            return method(self, func, iterable, *rest, **options)

        return imap

    return [
        _replace(kind, "apply_async", apply),
        _replace(kind, "_map_async", map),
        _replace(kind, "imap", lazily(imap)),
        _replace(kind, "imap_unordered", lazily(imap_unordered)),
    ]


def _is_near(pool: Any) -> bool:
    """Whether the pool's workers are threads of this process."""
    return isinstance(pool, multiprocessing.pool.ThreadPool)
