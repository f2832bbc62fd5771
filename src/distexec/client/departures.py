"""Which of an executor's waiting calls go now, together with which others, and to which queue."""

from collections.abc import Callable, Mapping
from functools import partial

from distexec.client.calls import Batch, PendingCall, Place
from distexec.client.flight import Entry, Flight
from distexec.client.learned import Learned
from distexec.client.line import APART
from distexec.client.lines import Judge, Lines, Turn
from distexec.scheduling.batching import calls_in_flight, calls_per_entry, is_short
from distexec.scheduling.placement import Estimate
from distexec.scheduling.priorities import Effective, Priority, effective
from distexec.scheduling.run_times import RunTime
from distexec.scheduling.sharing import usually_waits
from distexec.wire.records import CallFlag

#: What calls are marked with by what is known when they leave.
_LEARNED = CallFlag.SHORT | CallFlag.WAITS

#: Takes a call, and what is known of its function in each queue and of its use of processors; says
#: what it may expect of each of its queues, the best one first.
Chooser = Callable[[PendingCall, Mapping[str, RunTime | None], float], tuple[Estimate, ...]]


class Departures:
    """The way from an executor's lines into its flight. Its window has the lock.

    Args:
        limit: Most calls that run at the same time.
        choose: ``None`` where calls go to the first of their queues.
    """

    def __init__(
        self, lines: Lines, flight: Flight, limit: int, learned: Learned, choose: Chooser | None
    ) -> None:
        self._lines, self._flight = lines, flight
        self._limit, self._learned, self._choose = limit, learned, choose
        #: Leases that take several entries at a time.
        self._greedy: set[str] = set()

    def note_taking(self, lease: str, *, many: bool) -> None:
        """Note that *lease* takes several entries at a time from now on, or one."""
        if many:
            self._greedy.add(lease)
        else:
            self._greedy.discard(lease)

    def take_ready(self, leases: int, now: float, parents: int) -> list[Batch]:
        """Move the calls that may go now from the lines into the flight, packed into batches.

        Each queue has its own room: one that nobody serves does not stop the others.

        Args:
            parents: Running calls that wait for others of the executor, and do not count.
        """
        batches: list[Batch] = []
        limit = self._limit + parents
        begin_to_judge = partial(self._judge, leases, now)
        blocked: list[Place] = []
        while (turn := self._lines.turn(begin_to_judge, blocked)) is not None:
            run_time = self._learned.run_time(turn.first)
            if run_time is not None and not run_time.tells(limit):
                run_time = None
            self.find_queue(turn.first)
            in_order = not self._greedy and not self._short_in_flight(2 * limit)
            most = calls_in_flight(run_time, leases, limit, in_order=in_order)
            room = most - self._flight.queues.get(turn.first.queue, 0)
            if room > 0 or turn.first.passed:
                # What its limit let go is due now: it goes beside what is in flight.
                batches.append(self._pack(turn, run_time, max(room, 1), leases, now))
            else:
                blocked.append(turn.place)
        return batches

    def _pack(
        self, turn: Turn, run_time: RunTime | None, room: int, leases: int, now: float
    ) -> Batch:
        """Take the call whose *turn* it is, and those after it that fit into the same entry."""
        fitting = calls_per_entry(run_time, len(turn.line), leases)
        calls = self._lines.take(turn, min(fitting, room))
        first = calls[0]
        for call in calls if first.estimates else ():
            call.queue, call.estimates = first.queue, first.estimates
        known = _what_is_known(run_time)
        for call in calls:
            call.flags = call.flags & ~_LEARNED | (0 if call.flags & APART else known)
        return self._flight.send(calls, first.queue, now)

    def _short_in_flight(self, most: int) -> bool:
        """Whether more than *most* calls are in flight, or a short one: it makes leases greedy."""
        return len(self._flight) > most or self._flight.short_count > 0

    def find_queue(self, call: PendingCall) -> None:
        """Choose among the queues that *call* may go to, as late as can be."""
        if len(call.place.queues) > 1 and self._choose is not None:
            run_times = {
                queue: self._learned.run_time_in(call.function[0], queue)
                for queue in call.place.queues
            }
            call.estimates = self._choose(call, run_times, self._learned.cpu_share or 1.0)
            call.queue = call.estimates[0].queue

    def to_overtake(self, leases: int, now: float) -> list[Entry]:
        """The entries that should make way for the most urgent waiting call, each told once."""
        if not len(self._flight):
            return []
        firsts = self._lines.firsts()
        lowest = min(self._flight.priorities, default=Priority.URGENT)
        if all(first.place.priority <= lowest for first in firsts):
            return []
        judge = self._judge(leases, now)
        first = max(firsts, key=lambda call: judge(call).value)
        return self._flight.entries_below(first.place, judge(first).value)

    def priority(self) -> int:
        """The priority given to the most urgent call that does not run; MEDIUM if all do."""
        waiting = [first.place.priority for first in self._lines.firsts()]
        sent = self._flight.highest_unstarted()
        return max(waiting if sent is None else [*waiting, sent], default=Priority.MEDIUM)

    def judge(self, call: PendingCall, leases: int, now: float) -> Effective:
        """How urgent *call* is by now."""
        return self._judge(leases, now)(call)

    def _judge(self, leases: int, now: float) -> Judge:
        backlog_seconds = (self._learned.mean or 0.0) * len(self._lines) / max(leases, 1)

        def judge(call: PendingCall) -> Effective:
            run_time = self._learned.run_time(call)
            return effective(
                call.place.priority,
                waited=now - call.submitted_at,
                backlog_seconds=backlog_seconds,
                run_seconds=None if run_time is None else run_time.mean,
                size=len(call.payload),
            )

        return judge


def _what_is_known(run_time: RunTime | None) -> int:
    """What a lease is told of a call's function."""
    if is_short(run_time):
        return CallFlag.SHORT
    return CallFlag.WAITS if usually_waits(run_time) else 0
