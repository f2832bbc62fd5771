"""Watches the children of a node's pool: who lives, and at once who does not."""

import os
import select
import signal
from collections.abc import Iterator
from typing import Final, Protocol

#: Seconds between looks at the children where the system cannot tell that one ended.
_LOOK_SECONDS: Final = 0.05


class Child(Protocol):
    """A process of billiard's."""

    @property
    def pid(self) -> int: ...
    @property
    def exitcode(self) -> int | None: ...
    #: Its place in the pool.
    @property
    def index(self) -> int: ...


class Children:
    """The living children, and a wait that ends when one of them does. Used by one thread.

    Args:
        waker: A descriptor that ends the wait when it becomes readable.
    """

    def __init__(self, waker: int) -> None:
        self._watched: dict[int, tuple[Child, int | None]] = {}
        self._poller = select.poll()
        self._poller.register(waker, select.POLLIN)

    def __iter__(self) -> Iterator[Child]:
        return iter([child for child, _ in self._watched.values()])

    def __contains__(self, pid: int) -> bool:
        return pid in self._watched

    @property
    def pids(self) -> list[int]:
        """Their processes, the oldest first."""
        return list(self._watched)

    def add(self, child: Child) -> None:
        """Watch over one more."""
        descriptor = _open_pidfd(child.pid)
        if descriptor is not None:
            self._poller.register(descriptor, select.POLLIN)
        self._watched[child.pid] = child, descriptor

    def remove_dead(self) -> list[Child]:
        """Forget those that ended, and return them."""
        # Reading the exit code may reap the child. billiard does the same in the main thread, and
        # both keep what they found in the process object: it does not matter who is first.
        dead = [child for child in self if child.exitcode is not None]
        for child in dead:
            _, descriptor = self._watched.pop(child.pid)
            if descriptor is not None:
                self._poller.unregister(descriptor)
                os.close(descriptor)
        return dead

    def wait(self, seconds: float) -> None:
        """Wait until a child ended, or the waker is readable, or the time is over."""
        if any(descriptor is None for _, descriptor in self._watched.values()):
            seconds = min(seconds, _LOOK_SECONDS)
        self._poller.poll(max(0.0, seconds) * 1000)

    def close(self) -> None:
        """Watch nobody any more."""
        for _, descriptor in self._watched.values():
            if descriptor is not None:
                os.close(descriptor)
        self._watched.clear()


def how_it_ended(exitcode: int | None) -> str:
    """Tell a child's end in words: its signal's name, or its exit code."""
    if exitcode is None:
        return "vanished"
    if exitcode >= 0:
        return f"exited with code {exitcode}"
    try:
        return f"killed by {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"killed by signal {-exitcode}"


def _open_pidfd(pid: int) -> int | None:
    """Return a descriptor that is readable once the process ended; None where there are none."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # Reaped already, or an old kernel.
        return None
