"""The calls in a lease's hands: taken from the stream, or running on one of its threads."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from distexec.wire.records import CallFlag, Envelope

#: Seconds that a taken call may wait unstarted before its lease returns it. Below 2 ms returns
#: cost more than they save; above 10 ms tiny calls wait behind slow ones.
RETURN_AFTER_SECONDS = 0.005

#: A call with one of these shares its process with no other running call.
RUNS_ALONE = CallFlag.SUSPECT | CallFlag.ALONE


@dataclass(slots=True)
class Taken:
    """A call that waits in the lease's hands."""

    #: The stream entry that carried it.
    entry: int
    call: Envelope
    taken_at: float

    @property
    def runs_alone(self) -> bool:
        """Whether no other call may run in this process meanwhile."""
        return bool(self.call.flags & RUNS_ALONE)


@dataclass(slots=True)
class Running:
    """A call that a runner is busy with, and what the keeper saw of it."""

    taken: Taken
    started_at: float
    clock: int | None
    cpu_started: float
    #: Whether its caller knows that it runs.
    announced: bool = False

    @classmethod
    def start(cls, taken: Taken) -> "Running":
        """Begin to run *taken* on the calling thread."""
        clock = _cpu_clock()
        return cls(taken, time.monotonic(), clock, _cpu_time(clock))

    def cpu_seconds(self) -> float:
        """Processor seconds of its thread since it started."""
        return _cpu_time(self.clock) - self.cpu_started


class Hands:
    """What a lease holds. Guarded by the lease's lock."""

    def __init__(self) -> None:
        self.taken: deque[Taken] = deque()
        #: By the thread that runs each.
        self.running: dict[int, Running] = {}

    def take(self, entry: int, calls: Iterable[Envelope], now: float) -> None:
        """Hold the *calls* of a stream entry, in their order."""
        self.taken.extend(Taken(entry, call, now) for call in calls)

    def start(self) -> Running | None:
        """Claim the next call for this thread, if it may run beside the others.

        From now on it can be neither returned nor lost.
        """
        if self.running and (
            self.taken[0].runs_alone or any(each.taken.runs_alone for each in self.running.values())
        ):
            return None
        running = Running.start(self.taken.popleft())
        self.running[threading.get_ident()] = running
        return running

    def finish(self) -> None:
        """Note that this thread's call has ended."""
        del self.running[threading.get_ident()]

    def let_go(self, older_than: float | None = None) -> Iterable[Taken]:
        """Give up the calls that did not start; only those taken before *older_than*, if given."""
        while self.taken and (older_than is None or self.taken[0].taken_at < older_than):
            yield self.taken.popleft()

    def unannounced(self) -> list[Running]:
        """The running calls that their caller does not know to run."""
        return [running for running in self.running.values() if not running.announced]

    def are_held_up(self, now: float) -> bool:
        """Whether every running call is slow, so that what was taken will not start soon."""
        return bool(self.running) and all(
            now - running.started_at > RETURN_AFTER_SECONDS for running in self.running.values()
        )


def _cpu_clock() -> int | None:
    """The clock of the calling thread's processor time; ``None`` where threads have none."""
    try:
        return time.pthread_getcpuclockid(threading.get_ident())
    except (AttributeError, OSError):  # macOS has no such clock.
        return None


def _cpu_time(clock: int | None) -> float:
    """Processor seconds of another thread, by its clock (else of the process)."""
    return time.process_time() if clock is None else time.clock_gettime(clock)
