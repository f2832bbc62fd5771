"""`as_completed` with a progress bar, and the bar that it and `map` show.

On a terminal the bar is rich's or tqdm's if one of them is installed, else a plain line; where
nobody looks (a log, a pipe) there is none.
"""

import concurrent.futures
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

from distexec.client import completed

T = TypeVar("T")

#: Seconds between two drawings of the plain line.
_DRAW_SECONDS = 0.1

_WIDTH = 30


class Bar(Protocol):
    """Shows how much of something is done."""

    def advance(self, count: int) -> None:
        """Say that *count* more are done."""
        ...

    def close(self) -> None:
        """Leave the bar as it is, and the line to others."""
        ...


def as_completed(
    fs: "Iterable[concurrent.futures.Future[T]]",
    timeout: float | None = None,
    *,
    progress: bool = False,
) -> "Iterator[concurrent.futures.Future[T]]":
    """Yield futures as they complete: `concurrent.futures.as_completed`, for any futures.

    Args:
        timeout: Seconds from now after which `TimeoutError` is raised if some are not done.
        progress: Whether to show a bar on stderr, if that is a terminal.
    """
    if not progress:
        return completed.as_completed(fs, timeout)
    futures = set(fs)
    return show(completed.as_completed(futures, timeout), len(futures))


def show(items: Iterable[T], total: int | None, title: str = "") -> Iterator[T]:
    """Yield *items*, and show a bar that moves with each.

    Args:
        total: How many there will be; ``None`` if nobody knows.
    """
    bar = make_bar(total, title)
    try:
        for item in items:
            yield item
            bar.advance(1)
    finally:
        bar.close()


def make_bar(total: int | None, title: str = "", stream: Any = None) -> Bar:
    """The best bar that there is for *stream*, which is stderr unless given."""
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        return _Nothing()
    for kind in (_Rich, _Tqdm):
        try:
            return kind(total, title, stream)
        except ImportError:
            continue
    return _Line(total, title, stream)


class _Nothing:
    def advance(self, count: int) -> None:
        """Nobody looks."""

    def close(self) -> None:
        """Nobody looks."""


class _Rich:
    def __init__(self, total: int | None, title: str, stream: Any) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(file=stream))
        self._bar = self._progress.add_task(title, total=total)
        self._progress.start()

    def advance(self, count: int) -> None:
        self._progress.advance(self._bar, count)

    def close(self) -> None:
        self._progress.stop()


class _Tqdm:
    def __init__(self, total: int | None, title: str, stream: Any) -> None:
        from tqdm import tqdm  # type: ignore[import-untyped]

        self._bar = tqdm(total=total, desc=title or None, file=stream)

    def advance(self, count: int) -> None:
        self._bar.update(count)

    def close(self) -> None:
        self._bar.close()


class _Line:
    """A line that is written over and over."""

    def __init__(self, total: int | None, title: str, stream: Any) -> None:
        self._total, self._title, self._stream = total, f"{title} " if title else "", stream
        self._count = 0
        self._started = time.monotonic()
        self._draw_at = self._started

    def advance(self, count: int) -> None:
        self._count += count
        if time.monotonic() >= self._draw_at:
            self._draw()

    def close(self) -> None:
        self._draw()
        self._stream.write("\n")
        self._stream.flush()

    def _draw(self) -> None:
        now = time.monotonic()
        self._draw_at = now + _DRAW_SECONDS
        elapsed = now - self._started
        text = f"{self._title}{self._count:,}"
        if self._total:
            full = min(_WIDTH, _WIDTH * self._count // self._total)
            bar = "#" * full + "." * (_WIDTH - full)
            text = f"{self._title}[{bar}] {self._count:,}/{self._total:,}"
        if elapsed > 0:
            text += f"  {self._count / elapsed:,.1f}/s"
        self._stream.write(f"\r{text}  {elapsed:.1f} s\x1b[K")
        self._stream.flush()
