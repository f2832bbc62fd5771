"""How much of its time a call computed, and how much it waited, on a machine that is busy."""

import os
import threading
import time
from pathlib import Path

#: Seconds between two looks at the usage of short calls: a look takes two microseconds.
ASK_SECONDS = 0.0002

#: Where Linux says how long the calling thread ran, and how long it wanted to and had no processor.
_SCHEDULER = Path("/proc/thread-self/schedstat")


class _File:
    """What the scheduler knows of the thread that makes this."""

    def __init__(self) -> None:
        self.descriptor = os.open(_SCHEDULER, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        os.close(self.descriptor)


class _Thread(threading.local):
    """The calling thread's file; it is closed when the thread has ended."""

    #: Opened when it is asked for: who only imports this, as a caller does, has none.
    file: _File | None = None


if _SCHEDULER.exists():
    _here = _Thread()

    def kept_seconds() -> float:
        """How long this thread has been kept from the processor so far."""
        file = _here.file
        if file is None:
            file = _here.file = _File()
        return 1e-9 * int(os.pread(file.descriptor, 64, 0).split()[1])

    def _begin_again() -> None:
        global _here
        _here = _Thread()

    # The file is that of a thread of the parent.
    os.register_at_fork(after_in_child=_begin_again)

else:

    def kept_seconds() -> float:
        """Nobody knows: what others take of the processor looks like waiting."""
        return 0.0


class CpuMeter:
    """Tells how long calls of this thread computed, or would have if nobody had been in the way.

    On a busy machine, processor time over wall time would make every call look as if it waited.

    Asking takes as long as a short call. So of calls that follow one another each is told its share
    of what they used together.
    """

    def __init__(self, now: float) -> None:
        self._asked_at = now
        self._cpu, self._kept = time.thread_time(), kept_seconds()
        self._share = 1.0

    def computed(self, seconds: float, now: float) -> float:
        """Seconds that a call computed which lasted *seconds* and ended *now*."""
        elapsed = now - self._asked_at
        if elapsed > ASK_SECONDS:
            cpu, kept = time.thread_time(), kept_seconds()
            self._share = min((cpu - self._cpu + kept - self._kept) / elapsed, 1.0)
            self._asked_at, self._cpu, self._kept = now, cpu, kept
        return seconds * self._share
