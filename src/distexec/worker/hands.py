"""The calls in a lease's hands: taken from the stream, or running on one of its threads."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from distexec.wire.records import CallFlag, Envelope
from distexec.worker.limit import TimeLimit

#: Seconds that a taken call may wait unstarted before its lease returns it. Below 2 ms returns
#: cost more than they save; above 10 ms tiny calls wait behind slow ones.
RETURN_AFTER_SECONDS = 0.005

#: The same for a call that runs alone, and waits for its neighbours to end: it doubles each time
#: that such a call is returned, up to this. So one finds an idle lease soon, if there is any; and
#: else some lease takes nothing for long enough to be empty.
LONGEST_PATIENCE_SECONDS = 60.0

#: A call with one of these shares its process with no other running call.
RUNS_ALONE = CallFlag.SUSPECT | CallFlag.ALONE


@dataclass(slots=True)
class Taken:
    """A call that waits in the lease's hands."""

    #: The stream entry that carried it.
    entry: int
    call: Envelope
    taken_at: float
    #: Whether no other call may run in this process meanwhile.
    runs_alone: bool
    #: Whether its caller knows the call to be short, and wants nothing else.
    is_short: bool
    #: Whether its caller knows that such calls wait.
    waits: bool = False


@dataclass(slots=True)
class Running:
    """A call that a runner is busy with, and what the keeper saw of it."""

    taken: Taken
    started_at: float
    thread: int
    #: When the keeper first saw it, and the processor time of its thread by then.
    seen_at: float | None = None
    cpu_seen: float = 0.0
    #: Whether its caller knows that it runs.
    announced: bool = False
    #: Of its time, if it has one, from when on its caller knows that it runs.
    limit: TimeLimit | None = None
    #: When it ends, as far as that can be foreseen, and when to reserve a call for its thread.
    ends_at: float = inf
    reserve_at: float = inf

    def watch(self, now: float) -> tuple[float, float]:
        """Seconds since it started, and how many of these its thread computed.

        Nobody looks at the processor's clock when a call starts: that would cost each one more than
        it costs to start it. Until the keeper first sees it, it is taken to compute.
        """
        cpu = _cpu_time(self.thread)
        if self.seen_at is None:
            self.seen_at, self.cpu_seen = now, cpu
        share = (cpu - self.cpu_seen) / (now - self.seen_at) if now > self.seen_at else 1.0
        return now - self.started_at, share * (now - self.started_at)


class Hands:
    """What a lease holds. Guarded by the lease's lock."""

    def __init__(self) -> None:
        self.taken: deque[Taken] = deque()
        #: By the thread that runs each.
        self.running: dict[int, Running] = {}
        self._patience = RETURN_AFTER_SECONDS
        #: The entry in `taken` that was taken before there was a free thread, if one was; when it
        #: is given back.
        self.reserved = 0
        self.reserved_until = inf

    def take(self, entry: int, calls: Iterable[Envelope], now: float) -> None:
        """Hold the *calls* of a stream entry, in their order."""
        for call in calls:
            flags = call.flags
            is_short = flags == CallFlag.SHORT and not call.timeout
            runs_alone, waits = bool(flags & RUNS_ALONE), bool(flags & CallFlag.WAITS)
            self.taken.append(Taken(entry, call, now, runs_alone, is_short, waits))

    def reserve(self, entry: int, until: float) -> None:
        """Note that what is taken is one reserved entry."""
        self.reserved, self.reserved_until = entry, until

    def end_reservation(self) -> int:
        """Note that what is taken is reserved no more; return the entry, or 0."""
        entry, self.reserved, self.reserved_until = self.reserved, 0, inf
        return entry

    def start(self, is_main: bool) -> Running | None:
        """Claim the next call for this thread, if it may run on it and beside the others.

        From now on it can be neither returned nor lost. One that runs alone does so on the lease's
        main thread, which can be interrupted.
        """
        runs_alone = self.taken[0].runs_alone
        if runs_alone and (self.running or not is_main):
            return None
        if self.running and any(each.taken.runs_alone for each in self.running.values()):
            return None
        if runs_alone:
            self._patience = RETURN_AFTER_SECONDS
        thread = threading.get_ident()
        running = self.running[thread] = Running(self.taken.popleft(), time.monotonic(), thread)
        return running

    def start_next_short(self, running: Running, now: float) -> bool:
        """Go on with the next call, if it is as short as the one that ended and nobody else runs.

        *running* is this thread's, and is used again.
        """
        if self.reserved or not self._is_short_next():
            return False
        running.taken, running.started_at = self.taken.popleft(), now
        running.seen_at, running.announced = None, False
        return True

    @property
    def are_short(self) -> bool:
        """Whether one short call runs, and the next one is in these hands."""
        return self._is_short_next() and next(iter(self.running.values())).taken.is_short

    def _is_short_next(self) -> bool:
        """Whether one call runs, and a short one follows it."""
        return len(self.running) == 1 and bool(self.taken) and self.taken[0].is_short

    def finish(self) -> None:
        """Note that this thread's call has ended."""
        del self.running[threading.get_ident()]

    @property
    def are_reserved(self) -> bool:
        """Whether a call runs alone, or is the next to: nothing else would be started."""
        if self.taken and self.taken[0].runs_alone:
            return True
        running = self.running
        return bool(running) and any(each.taken.runs_alone for each in running.values())

    def let_go(self) -> list[Taken]:
        """Give up the calls that did not start."""
        given_up = list(self.taken)
        self.taken.clear()
        return given_up

    def let_go_late(self, now: float) -> list[Taken]:
        """Give up the calls that have waited too long, and will not start soon."""
        if not self.taken or self.reserved or not self._are_held_up(now):
            return []
        late = [taken for taken in self.taken if self._is_late(taken, now)]
        if late:
            self.taken = deque(taken for taken in self.taken if not self._is_late(taken, now))
        if any(taken.runs_alone for taken in late):
            self._patience = min(2 * self._patience, LONGEST_PATIENCE_SECONDS)
        return late

    def _is_late(self, taken: Taken, now: float) -> bool:
        patience = self._patience if taken.runs_alone else RETURN_AFTER_SECONDS
        return now - taken.taken_at > patience

    def unannounced(self) -> list[Running]:
        """The running calls that their caller does not know to run."""
        return [running for running in self.running.values() if not running.announced]

    def limited(self) -> Running | None:
        """A running call that has a time limit."""
        return next((each for each in self.running.values() if each.limit), None)

    def _are_held_up(self, now: float) -> bool:
        """Whether every running call is slow."""
        return bool(self.running) and all(
            now - running.started_at > RETURN_AFTER_SECONDS for running in self.running.values()
        )


def _cpu_time(thread: int) -> float:
    """Processor seconds of a thread that runs; of the process where threads have no such clock."""
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread))
    except (AttributeError, OSError):  # macOS has none.
        return time.process_time()
