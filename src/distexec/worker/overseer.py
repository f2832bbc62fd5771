"""Looks at a lease's running calls: what is told, returned, interrupted or stopped meanwhile."""

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable

from distexec.errors import CallKilled, DistexecError
from distexec.scheduling.run_times import RunTime
from distexec.scheduling.sharing import (
    EXPECTED_SECONDS,
    LEARNED_SECONDS,
    usually_computes,
    usually_waits,
)
from distexec.settings import Settings
from distexec.store.lease_port import LeaseStore
from distexec.store.port import ExecutorRef
from distexec.wire.records import ExecutorSpec, Sharing
from distexec.worker.contact import PASSING
from distexec.worker.hands import RETURN_AFTER_SECONDS, Running
from distexec.worker.limit import TimeLimit, raise_in
from distexec.worker.outbox import DELAY_SECONDS, GATHERING_SECONDS
from distexec.worker.reserving import Reserving
from distexec.worker.run import out_of_time
from distexec.worker.runners import Runners
from distexec.worker.standing import ANNOUNCE_SECONDS, Standing

logger = logging.getLogger(__name__)

#: Seconds between two looks for room: waiting calls are known by then, and asking is not free.
ROOM_SECONDS = 0.02

#: The same while calls run that others of their functions say compute: each look takes the
#: interpreter's lock from them, fifty a second are a hundredth of their time.
COMPUTING_ROOM_SECONDS = 0.1

#: Seconds until the next look where calls or replies wait.
SOON_SECONDS = 0.0025

#: Seconds until the next look where nothing is expected.
QUIET_SECONDS = 0.5


class Overseer:
    """What the keeper of a lease does each time it looks.

    Args:
        is_watched: Whether somebody kills this process if a call outlasts its time limit.
        end_process: Ends this process and does not return, to stop what it runs for nobody;
            ``None`` where the process is not the lease's own.
        on_stuck: Called when a call was given up that goes on.
    """

    def __init__(
        self,
        store: LeaseStore,
        ref: ExecutorRef,
        spec: ExecutorSpec,
        standing: Standing,
        runners: Runners,
        reserving: Reserving,
        settings: Settings,
        *,
        is_watched: bool,
        end_process: Callable[[], None] | None,
        on_stuck: Callable[[], None],
    ) -> None:
        self._store, self._ref, self._spec = store, ref, spec
        self._standing, self._runners = standing, runners
        self._reserving = reserving
        self._beat_seconds = settings.beat_seconds
        self._is_watched = is_watched
        self._end_process, self._on_stuck = end_process, on_stuck
        #: Whether what runs for nobody was told to stop.
        self._is_stopping = False

    def patience(self, running: Running) -> float:
        """Seconds after its start until something may be due for a call; the lock is held."""
        standing = self._standing
        self._reserving.plan(running)
        if standing.outbox:
            return DELAY_SECONDS
        if standing.hands.taken:
            return RETURN_AFTER_SECONDS
        started_at = running.started_at
        reserve_in = self._reserving.due_at() - started_at
        return min(ANNOUNCE_SECONDS, self._room_due_in([running], started_at), reserve_in)

    def look(self) -> float | None:
        """Do what is due.

        Returns:
            Seconds until the next look; ``None``: when the next call starts.
        """
        standing, now = self._standing, time.monotonic()
        due_in = self._hold_to_limits(now)
        if pause := standing.contact.pause():
            return min(pause, due_in)
        with standing.lock:
            hands = standing.hands
            unannounced = hands.unannounced()
            started = _to_announce(unannounced, now)
            running = hands.running.values()
            room = 0
            if not standing.has_ended and not hands.reserved:
                room = self._runners.room_for(running, standing.run_times, now)
            self._reserving.give_back_late(now)
            delay = GATHERING_SECONDS if hands.are_short else DELAY_SECONDS
            waiting, busy = len(hands.taken), len(running)
        if busy and standing.is_void:
            self._stop_running()
            return QUIET_SECONDS
        if started:
            standing.announce(started)
        elif standing.outbox.is_due(now, delay):
            standing.send()
            standing.learn()
        elif busy and now - standing.contact.heard_at > self._beat_seconds:
            standing.ask_whether_void()
        if not (room and self._add_runners(room, waiting, busy)):
            with standing.lock:
                # Nobody else could start it where calls run one at a time, and order would be lost.
                if self._spec.limit > 1:
                    standing.give_back(hands.let_go_late(now))
        self._reserving.reserve(now)
        with standing.lock:
            due = self._pause(now)
        return None if due is None else min(due, due_in)

    def _pause(self, now: float) -> float | None:
        """Seconds until something may be due for what is held by then."""
        standing = self._standing
        hands, running = standing.hands, standing.hands.running.values()
        if standing.outbox or (hands.taken and not hands.reserved):
            return RETURN_AFTER_SECONDS if hands.are_short else SOON_SECONDS
        if not running:
            return None
        pause = min(QUIET_SECONDS, self._reserving.due_at() - now)
        if unannounced := hands.unannounced():
            oldest = min(each.started_at for each in unannounced)
            pause = min(pause, oldest + ANNOUNCE_SECONDS - now)
        return min(pause, self._room_due_in(running, now))

    def _room_due_in(self, running: Collection[Running], now: float) -> float:
        """Seconds until it is worth looking whether these calls make room for threads."""
        if self._spec.sharing is Sharing.NEVER:
            return QUIET_SECONDS
        if now < self._runners.may_grow_at:
            return self._runners.may_grow_at - now
        run_times = self._standing.run_times
        known = [run_times.get(each.taken.call.function_id) for each in running]
        if all(map(usually_computes, known)):
            return COMPUTING_ROOM_SECONDS
        age = now - max(each.started_at for each in running)
        if age < LEARNED_SECONDS and all(map(self._may_wait, known)):
            return max(0.0, EXPECTED_SECONDS - age)  # To see them wait takes two looks.
        return ROOM_SECONDS

    def _may_wait(self, known: RunTime | None) -> bool:
        """Whether a call is to be watched from its start: it may make room for others soon."""
        return self._spec.sharing is Sharing.THREADS or known is None or usually_waits(known)

    def _add_runners(self, room: int, waiting: int, busy: int) -> int:
        try:
            return self._runners.add(room, taken=waiting, running=busy)
        except PASSING as error:
            self._standing.miss(error)
            return 0

    def _stop_running(self) -> None:
        """Stop what runs for nobody: with the process, or else by raising in its threads, once."""
        if self._standing.failure is not None or self._is_stopping:
            return
        self._is_stopping = True
        if self._end_process is None:
            with self._standing.lock:
                for thread in self._standing.hands.running:
                    raise_in(thread, CallKilled)
            self._on_stuck()
        else:
            logger.warning(
                "Calls of executor %s of session %s are stopped, with their process: their caller "
                "is gone, or has given them to others",
                *reversed(self._ref),
            )
            self._end_process()

    def _hold_to_limits(self, now: float) -> float:
        """Interrupt the call whose time is over; give it up if that is no use, and nobody kills.

        Returns:
            Seconds until the next look is needed.
        """
        with self._standing.lock:
            running = self._standing.hands.limited()
        if running is None or running.limit is None:
            return QUIET_SECONDS
        left = running.limit.look(now)
        if left > 0:
            return left
        if not self._is_watched:
            self._give_up(running, running.limit, now)
        return QUIET_SECONDS

    def _give_up(self, running: Running, limit: TimeLimit, now: float) -> None:
        """Answer for a call that goes on, and end the lease: its thread cannot be had back."""
        standing = self._standing
        with standing.lock:
            is_running = any(each is running for each in standing.hands.running.values())
            if not is_running or limit.abandoned:
                return
            limit.abandoned = True
            reply = out_of_time(running.taken.call, limit)
            standing.outbox.answer(running.taken.entry, reply, now)
        standing.end()
        standing.send()
        with contextlib.suppress(DistexecError):
            # Another slot may have its place.
            self._store.leave(force=True)
        self._on_stuck()


def _to_announce(unannounced: Iterable[Running], now: float) -> list[Running]:
    """Those that run for long by now, if there is one, and with it those that soon will."""
    ages = [(now - each.started_at, each) for each in unannounced]
    if not any(age > ANNOUNCE_SECONDS for age, _ in ages):
        return []
    return [each for age, each in ages if age > ANNOUNCE_SECONDS / 2]
