"""Looks at a lease's running calls: what is told, returned, interrupted or stopped meanwhile."""

import contextlib
import logging
import time
from collections.abc import Callable

from distexec.errors import CallKilled, DistexecError
from distexec.scheduling.sharing import usually_computes
from distexec.settings import Settings
from distexec.store.port import ExecutorRef, LeaseStore
from distexec.wire.records import ExecutorSpec, Sharing
from distexec.worker.contact import PASSING
from distexec.worker.hands import RETURN_AFTER_SECONDS, Running
from distexec.worker.limit import TimeLimit, raise_in
from distexec.worker.run import out_of_time
from distexec.worker.runners import Runners
from distexec.worker.standing import Standing

logger = logging.getLogger(__name__)

#: Seconds between two looks for room: waiting calls are known by then, and asking is not free.
ROOM_SECONDS = 0.02

#: The same while calls run that others of their functions say compute: each look takes the
#: interpreter's lock from them, fifty a second are a hundredth of their time.
COMPUTING_ROOM_SECONDS = 0.1

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
        settings: Settings,
        *,
        is_watched: bool,
        end_process: Callable[[], None] | None,
        on_stuck: Callable[[], None],
    ) -> None:
        self._store, self._ref, self._spec = store, ref, spec
        self._standing, self._runners = standing, runners
        self._beat_seconds = settings.beat_seconds
        self._is_watched = is_watched
        self._end_process, self._on_stuck = end_process, on_stuck
        #: Whether what runs for nobody was told to stop.
        self._is_stopping = False

    def look(self) -> float | None:
        """Do what is due.

        Returns:
            Seconds until the next look; ``None``: when the next call starts.
        """
        standing, now = self._standing, time.monotonic()
        due_in = self._hold_to_limits(now)
        if pause := standing.contact.pause():
            return min(pause, due_in)
        with standing.changed:
            hands = standing.hands
            unannounced = hands.unannounced()
            started = [each for each in unannounced if now - each.started_at > RETURN_AFTER_SECONDS]
            running = hands.running.values()
            known = standing.run_times
            room = 0 if standing.has_ended else self._runners.room_for(running, known, now)
            waiting, busy = len(hands.taken), len(running)
            compute = all(usually_computes(known.get(e.taken.call.function_id)) for e in running)
            expects = bool(standing.outbox or waiting or unannounced)
            quiet = QUIET_SECONDS if busy else None
        if busy and standing.is_void:
            self._stop_running()
            return quiet
        if started:
            standing.announce(started)
        elif standing.outbox.is_due(now):
            standing.send()
        elif busy and now - standing.contact.heard_at > self._beat_seconds:
            standing.ask_whether_void()
        if not (room and self._add_runners(room, waiting, busy)):
            with standing.changed:
                # Nobody else could start it where calls run one at a time, and order would be lost.
                if self._spec.limit > 1:
                    standing.give_back(hands.let_go_late(now))
        if expects:
            return 0.0
        if quiet is None:
            return None
        if self._spec.sharing is Sharing.NEVER:
            return min(due_in, quiet)
        return min(due_in, COMPUTING_ROOM_SECONDS if compute else ROOM_SECONDS)

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
            with self._standing.changed:
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
        with self._standing.changed:
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
        with standing.changed:
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
