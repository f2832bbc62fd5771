"""Takes a lease's next call shortly before one that runs has ended."""

import time
from math import inf

from distexec.scheduling.ahead import (
    AGAIN_SECONDS,
    AHEAD_SECONDS,
    LATE_SECONDS,
    LEAST_SECONDS,
    Tries,
    expected_seconds,
    most_threads,
)
from distexec.wire.records import ExecutorSpec
from distexec.worker.hands import Running
from distexec.worker.leader import Grant, Leader
from distexec.worker.runners import Runners
from distexec.worker.standing import Standing

#: Seconds until the server is asked again that did not answer.
UNSURE_SECONDS = 0.02


class Reserving:
    """What a lease's keeper does so that a thread need not wait for its next call.

    A trip between two calls is a fifteenth of a call of 10 ms. The entry that is next is *reserved*
    for this lease while its call still runs: no lease takes a younger one until it starts, or is
    given back. So calls start in their order, as those that wait for each other need it.
    """

    def __init__(
        self, spec: ExecutorSpec, standing: Standing, runners: Runners, leader: Leader
    ) -> None:
        self._spec, self._standing = spec, standing
        self._runners, self._leader = runners, leader
        self._tries = Tries()
        #: Whether an entry may be reserved that this lease knows nothing of.
        self._is_unsure = False

    def plan(self, running: Running) -> None:
        """Note when to reserve a call for the thread of one that starts; the lock is held."""
        taken = running.taken
        seconds = expected_seconds(self._standing.run_times.get(taken.call.function_id))
        if seconds is None or taken.is_short or taken.runs_alone:
            return
        if len(self._runners) > most_threads(seconds) or self._spec.calls_per_child is not None:
            return
        if self._tries.is_time():
            running.ends_at = running.started_at + seconds
            running.reserve_at = running.ends_at - AHEAD_SECONDS

    def due_at(self) -> float:
        """When there is something to do; the lock is held."""
        hands = self._standing.hands
        if hands.taken or len(hands.running) < len(self._runners):
            return hands.reserved_until
        return min([running.reserve_at for running in hands.running.values()], default=inf)

    def give_back_late(self, now: float) -> None:
        """Give the reserved call back if no call has ended for it; the lock is held."""
        if now >= self._standing.hands.reserved_until:
            self._standing.release()

    def reserve(self, now: float) -> None:
        """Reserve a call, if it is time to."""
        with self._standing.lock:
            running = self._first(now)
            if running is None:
                return
            running.reserve_at = inf
        seconds = running.ends_at - running.started_at
        grant = self._leader.reserve(running.ends_at + LATE_SECONDS, most_threads(seconds))
        if grant is not Grant.NOT_ASKED:
            self._tries.note(granted=grant is Grant.GIVEN)
            self._is_unsure = grant is Grant.UNANSWERED
        again = time.monotonic() + AGAIN_SECONDS
        if self._is_unsure:
            running.reserve_at = again + UNSURE_SECONDS  # Asked again, the server tells.
        elif grant is not Grant.GIVEN and again < running.ends_at - LEAST_SECONDS:
            running.reserve_at = again

    def _first(self, now: float) -> Running | None:
        """The call for whose thread one is to be reserved first, if it is time to."""
        if now < self.due_at() or self._standing.hands.taken:
            return None
        return min(self._standing.hands.running.values(), key=_reserve_at, default=None)


def _reserve_at(running: Running) -> float:
    return running.reserve_at
