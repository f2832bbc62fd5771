"""How much of its time a call computed, and how much it waited, on a machine that is busy."""

import sys
import time

#: Share of its time that a call uses of a processor if it waits for nothing, however many others
#: want one. Where the system counts no waits, this tells a sleep from a computation.
LEAST_SHARE = 0.02

#: Seconds between two looks at the usage of short calls: a look takes a microsecond.
ASK_SECONDS = 0.0002

if sys.platform == "linux":
    from resource import RUSAGE_THREAD, getrusage

    def _usage() -> tuple[float, int]:
        """Processor seconds of this thread, and how often it gave the processor up to wait."""
        usage = getrusage(RUSAGE_THREAD)
        return usage.ru_utime + usage.ru_stime, usage.ru_nvcsw

else:

    def _usage() -> tuple[float, int]:
        """Processor seconds of this thread; nobody knows how often it waited."""
        return time.thread_time(), 0


class CpuMeter:
    """Tells how long calls of this thread computed: all the time, unless they waited.

    A call that never gave the processor up computed, though others may have had it for most of the
    time: on a busy machine, processor time over wall time makes every call look as if it waited.

    Asking takes as long as a short call. So of calls that follow one another each is told its share
    of what they used together.
    """

    def __init__(self, now: float) -> None:
        self._asked_at = now
        self._cpu, self._waits = _usage()
        self._share = 1.0

    def computed(self, seconds: float, now: float) -> float:
        """Seconds that a call computed which lasted *seconds* and ended *now*."""
        elapsed = now - self._asked_at
        if elapsed > ASK_SECONDS:
            cpu, waits = _usage()
            used, waited = cpu - self._cpu, waits > self._waits
            never_waited = not waited and used > LEAST_SHARE * elapsed and sys.platform == "linux"
            self._share = 1.0 if never_waited else min(used / elapsed, 1.0)
            self._asked_at, self._cpu, self._waits = now, cpu, waits
        return seconds * self._share
