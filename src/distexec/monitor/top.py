"""The report, live in a terminal: drawn anew each second until q or Ctrl-C."""

import contextlib
import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator

from distexec.errors import ClusterError

#: Another screen without a cursor, and back: what was on the terminal before stays.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"


def watch(draw: Callable[[int], str], seconds: float) -> None:
    """Show what *draw* returns, until a key ends it.

    Args:
        draw: Takes the terminal's width. A `ClusterError` is shown, and it is called again.
        seconds: Between two drawings.
    """
    with _own_screen() as descriptor:
        while True:
            columns, lines = shutil.get_terminal_size()
            try:
                text = draw(columns)
            except ClusterError as error:
                text = str(error)[: 2 * columns]
            rows = [time.strftime("%H:%M:%S") + "  q: quit", "", *text.splitlines()][:lines]
            body = "\r\n".join(row + _CLEAR_LINE for row in rows)
            sys.stdout.write(_HOME + body + _CLEAR_REST)
            sys.stdout.flush()
            if _is_over(descriptor, seconds):
                return


def _is_over(descriptor: int, seconds: float) -> bool:
    """Wait, and say whether somebody asked for the end meanwhile; any other key draws at once."""
    ready, _, _ = select.select([descriptor], [], [], seconds)
    return bool(ready) and os.read(descriptor, 64)[:1] in (b"q", b"Q", b"\x03", b"")


@contextlib.contextmanager
def _own_screen() -> Iterator[int]:
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        sys.stdout.write(_ENTER)
        yield descriptor
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
