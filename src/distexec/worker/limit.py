"""Holds a call to its time: an exception raised inside it, and if need be the end of its process.

::

    0 s        timeout                  + grace
    |--runs----|--has been interrupted--|--killed

The interruption is raised in the user's function by the lease's keeper. On a process's main thread
it is a signal, which also ends a sleep or a wait for a lock; on any other thread Python raises it
with the thread's next instruction. Whoever holds the interpreter's lock, waits in C code, or
catches the exception, is not stopped by that: then the node's main process, the *watchdog*, kills
the call's process. Where there is none (a call on a thread), the call is abandoned.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol, TypeVar

from distexec.errors import CallTimeout

T = TypeVar("T")


class Watchdog(Protocol):
    """Kills this process from outside."""

    def watch(self, number: int, deadline: float) -> None:
        """End this process if it is still at call *number* at *deadline*, by `time.monotonic`."""
        ...

    def rest(self) -> None:
        """The call has ended."""
        ...


class TimeLimit:
    """The time limit of the calling thread's call.

    Args:
        seconds: From now on.
        grace: Seconds that the call has to end by itself when it was interrupted.
        where: Names node and process, for the error.
    """

    def __init__(self, seconds: float, grace: float, where: str) -> None:
        self.seconds, self.deadline = seconds, time.monotonic() + seconds
        #: When the process is killed, or the call given up.
        self.end = self.deadline + grace
        #: What the call ends with once it is interrupted, whatever it does about that.
        self.error = CallTimeout(seconds, f"{where}, interrupted")
        self.expired = False
        #: Whether it was given up, and its caller told so, while its thread goes on.
        self.abandoned = False
        self._thread = threading.get_ident()
        self._by_signal = threading.current_thread() is threading.main_thread()
        self._lock = threading.Lock()
        self._is_inside = False
        self._previous: Any = None

    def hold(self, run: Callable[[], T]) -> T | None:
        """Return what *run* returns; ``None`` if the interruption struck outside of its reach."""
        try:
            try:
                self._begin()
                return run()
            finally:
                self._end()
        except TimeoutError:
            self._end()
            return None

    def _begin(self) -> None:
        if self._by_signal:
            self._previous = signal.signal(signal.SIGALRM, self._on_signal)
        self._is_inside = True

    def _end(self) -> None:
        # From here on a signal raises nothing: its handler runs on this very thread.
        self._is_inside = False
        with self._lock:
            # From here on none is sent.
            self._thread = 0
        if self._by_signal:
            signal.signal(signal.SIGALRM, self._previous or signal.SIG_DFL)
        elif self.expired:
            absorb_interruption()

    def look(self, now: float) -> float:
        """Interrupt the call if its time is over. Called by another thread.

        Returns:
            Seconds until the next look is worth while; 0 or less once the grace is over too.
        """
        if now < self.deadline:
            return self.deadline - now
        self._interrupt()
        return self.end - now

    def _interrupt(self) -> None:
        """Raise the error in the call, once, unless it has just ended."""
        with self._lock:
            if self.expired or not self._thread:
                return
            self.expired = True
            if self._by_signal:
                signal.pthread_kill(self._thread, signal.SIGALRM)
            else:
                raise_in(self._thread, TimeoutError)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_inside:
            raise self.error


def raise_in(thread: int, kind: type[BaseException]) -> None:
    """Raise *kind* in *thread* with its next instruction."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


def absorb_interruption() -> None:
    """Let a `TimeoutError` that was raised in this thread strike here, if it has not struck yet.

    Python can also take it back, but 3.11 then looks for it for ever, in every thread: each turn of
    a loop gets slower, and a function that is traced, as debuggers do, never begins.
    """
    try:
        raise_in(threading.get_ident(), TimeoutError)  # Takes the place of one that waits.
        while True:
            pass
    except TimeoutError:
        return
