"""A progress bar on stderr: a moving one on a terminal, otherwise a line every few seconds."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

WIDTH = 32
#: Seconds between two updates on a terminal, and between two lines in a log.
TERMINAL_SECONDS, LOG_SECONDS = 0.05, 3.0


class Progress(Generic[T]):
    """Iterate over *items* and show how many of *total* have come."""

    def __init__(self, items: Iterable[T], total: int, title: str) -> None:
        self._items, self._total, self._title = items, total, title

    def __iter__(self) -> Iterator[T]:
        terminal = sys.stderr.isatty()
        pause = TERMINAL_SECONDS if terminal else LOG_SECONDS
        shown = started = time.monotonic()
        count = 0
        for count, item in enumerate(self._items, start=1):
            yield item
            now = time.monotonic()
            if now - shown > pause:
                shown = now
                self._show(count, now - started, terminal)
        self._show(count, time.monotonic() - started, terminal)
        if terminal:
            print(file=sys.stderr)

    def _show(self, count: int, seconds: float, terminal: bool) -> None:
        full = WIDTH * count // max(self._total, 1)
        text = f"{self._title:<20} {count:>5}/{self._total} {seconds:6.1f} s"
        if terminal:
            text = f"\r{text} {'█' * full}{'·' * (WIDTH - full)}"
        print(text, end="" if terminal else "\n", file=sys.stderr, flush=True)
