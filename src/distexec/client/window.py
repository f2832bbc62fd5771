"""The calls of one executor that are not settled: waiting here in order, or sent and bounded.

A window decides and remembers; it never sends. All its methods are short and take its lock. What
waits is in `distexec.client.line`, for a limit in `distexec.client.gates`, and what is sent in
`distexec.client.flight`.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from distexec.client.calls import NO_LIMITS, Batch, CallState, PendingCall, Place
from distexec.client.flight import Entry, Flight
from distexec.client.gates import Gates, PermitGate, PermitQuestion, RateGate, RateQuestion
from distexec.client.learned import Learned
from distexec.client.line import APART, Resting
from distexec.client.lines import Judge, Lines, Turn
from distexec.client.tally import Tally
from distexec.scheduling.batching import calls_in_flight, calls_per_entry, is_short
from distexec.scheduling.histogram import Histogram
from distexec.scheduling.permits import Permits
from distexec.scheduling.placement import Estimate
from distexec.scheduling.priorities import Effective, Priority, effective
from distexec.scheduling.rate_limits import Grants
from distexec.scheduling.run_times import RunTime
from distexec.wire.records import CallFlag, Reply

#: Takes a call, and what is known of its function in each queue and of its use of processors.
Chooser = Callable[[PendingCall, Mapping[str, RunTime | None], float], tuple[Estimate, ...]]


class WindowCounts(NamedTuple):
    """How many calls are where."""

    waiting: int
    sent: int
    running: int


class Window:
    """One executor's unsettled calls.

    Args:
        limit: Most calls that run at the same time.
        choose: Says what a call may expect of each of its queues, the best one first.
        learned: How long calls last; ``None`` where nothing is known yet.

    Attributes:
        learned: How long the calls of its functions last.
    """

    def __init__(
        self, limit: int, choose: Chooser | None = None, learned: Learned | None = None
    ) -> None:
        self._limit, self._choose = limit, choose
        self.learned = learned or Learned()
        self._lock = threading.Lock()
        self._lines, self._resting, self._flight = Lines(), Resting(), Flight()
        #: Where calls wait for a limit. What that lets go is the next of its line.
        self._gates = Gates()
        #: Waiting calls that were sent before: the reply to that may still come.
        self._again: dict[int, PendingCall] = {}
        self._tally = Tally()
        self._holds = 0
        #: Leases that take several entries at a time.
        self._greedy: set[str] = set()

    # What is where.

    def counts(self) -> WindowCounts:
        """How many calls wait, are sent, and are known to run."""
        with self._lock:
            running = sum(call.started for call in self._flight.calls.values())
            return WindowCounts(len(self._lines), len(self._flight), running)

    @property
    def outstanding(self) -> int:
        """How many calls are not settled and have something to do.

        Those that rest have not, nor those that wait for a limit.
        """
        return len(self._lines) + len(self._flight)

    @property
    def has_waiting(self) -> bool:
        """Whether calls wait here."""
        return len(self._lines) > 0

    @property
    def has_limits(self) -> bool:
        """Whether there is something to be asked about limits, now or later."""
        return bool(self._gates)

    @property
    def wants_room(self) -> bool:
        """Whether calls wait for what one that ends makes free: room in flight, or a permit."""
        return len(self._lines) > 0 or bool(self._gates)

    @property
    def limited(self) -> int:
        """How many calls wait for a limit."""
        return len(self._gates)

    @property
    def limit_waits(self) -> Histogram:
        """Seconds from submit until a limit let go, of all calls that have one."""
        return self._gates.waits

    def last_limit_waits(self) -> list[float]:
        """The same of the last ones."""
        return list(self._gates.wait_seconds.copy())

    @property
    def resting(self) -> int:
        """How many calls wait for the time of their next attempt."""
        return sum(1 for _ in self._resting)

    @property
    def alone(self) -> int:
        """How many of the outstanding calls want a process for themselves."""
        return self._tally.alone

    @property
    def in_flight(self) -> int:
        """How many calls are sent and not settled."""
        return len(self._flight)

    def queues(self) -> set[str]:
        """The queues that outstanding calls are for."""
        with self._lock:
            places = self._lines.places()
            waiting = {place.queues[0] for place in places if len(place.queues) == 1}
            return waiting | set(self._flight.queues)

    def parents(self) -> int:
        """How many running calls of this executor submitted others to it that are not settled.

        They most likely wait for these, and such calls do not count against the limit: recursion on
        one executor would deadlock, as it does in the standard pools.
        """
        return len(self._tally.parents)

    def oldest_unstarted(self) -> float | None:
        """When the oldest call that does not run was submitted."""
        with self._lock:
            for call in self._flight.calls.values():
                if not call.started:
                    return call.submitted_at
            firsts = self._lines.firsts()
            return min(firsts, key=_number).submitted_at if firsts else None

    def waiting(self) -> list[PendingCall]:
        """The calls that wait here, for their turn, for a limit or for their next attempt."""
        with self._lock:
            return self._here()

    def _here(self) -> list[PendingCall]:
        return [*self._lines, *self._gates, *self._resting]

    # Sending.

    def add(self, call: PendingCall) -> bool:
        """Let *call* wait its turn; True if nothing else is in flight."""
        with self._lock:
            if call.limits is not NO_LIMITS and call.has_gates:
                self._gates.enter(call)
                return False
            self._lines.add(call)
            self._tally.add(call)
            return not self._flight.calls

    def take_ready(self, leases: int, now: float) -> list[Batch]:
        """Move the calls that may go now from waiting to sent, packed into batches.

        Each queue has its own room: one that nobody serves does not stop the others.

        Entry numbers are given here, so whoever takes must send before anybody takes again.
        """
        batches: list[Batch] = []
        with self._lock:
            limit = self._limit + len(self._tally.parents)
            judge = self._judge(leases, now)
            blocked: list[Place] = []
            while not self._holds and (turn := self._lines.turn(judge, blocked)) is not None:
                run_time = self.learned.run_time(turn.first)
                self._find_queue(turn.first)
                in_order = not self._greedy and not self._short_in_flight(2 * limit)
                most = calls_in_flight(run_time, leases, limit, in_order=in_order)
                room = most - self._flight.queues.get(turn.first.queue, 0)
                if room > 0 or turn.first.passed:
                    # What its limit let go is due now: it goes beside what is in flight.
                    batches.append(self._pack(turn, run_time, max(room, 1), leases))
                else:
                    blocked.append(turn.place)
        return batches

    def _pack(self, turn: Turn, run_time: RunTime | None, room: int, leases: int) -> Batch:
        """Take the call whose *turn* it is, and those after it that fit into the same entry."""
        fitting = calls_per_entry(run_time, len(turn.line), leases)
        calls = self._lines.take(turn, min(fitting, room))
        first = calls[0]
        for call in calls if first.estimates else ():
            call.queue, call.estimates = first.queue, first.estimates
        short = CallFlag.SHORT if is_short(run_time) else 0
        for call in calls:
            if self._again:
                self._again.pop(call.number, None)
            call.flags = call.flags & ~CallFlag.SHORT | (0 if call.flags & APART else short)
        return self._flight.send(calls, calls[0].queue)

    def _find_queue(self, call: PendingCall) -> None:
        """Choose among the queues that *call* may go to, as late as can be."""
        if len(call.place.queues) > 1 and self._choose is not None:
            run_times = {
                queue: self.learned.run_time_in(call.function[0], queue)
                for queue in call.place.queues
            }
            call.estimates = self._choose(call, run_times, self.learned.cpu_share or 1.0)
            call.queue = call.estimates[0].queue

    def judge(
        self, call: PendingCall, leases: int, now: float
    ) -> tuple[tuple[Estimate, ...], Effective]:
        """What a call that waits here may expect of its queues, and how urgent it is by now."""
        with self._lock:
            self._find_queue(call)
            return call.estimates, self._judge(leases, now)(call)

    def movable(self, is_stuck: Callable[[str, tuple[str, ...]], bool]) -> list[Entry]:
        """The entries that nobody may have taken, of calls that have a choice and are stuck."""
        with self._lock:
            places = self._flight.choices()
        stuck = {(queue, choice) for queue, choice in places if is_stuck(queue, choice)}
        with self._lock:
            return self._flight.entries_of(stuck)

    def sent_to(self, queue: str) -> int:
        """How many calls are sent to *queue* and not settled."""
        return self._flight.queues.get(queue, 0)

    def outstanding_for(self, queue: str) -> int:
        """How many calls wait for *queue*, which have no other, or are sent there."""
        with self._lock:
            waiting = sum(
                count for place, count in self._lines.places().items() if place.queues == (queue,)
            )
            return waiting + self._flight.queues.get(queue, 0)

    def _short_in_flight(self, most: int) -> bool:
        """Whether more than *most* calls are in flight, or a short one: it makes leases greedy."""
        return len(self._flight) > most or self._flight.short_count > 0

    def start(self, number: int) -> PendingCall | None:
        """Note that a call runs."""
        with self._lock:
            call = self._flight.calls.get(number)
            if call is not None:
                call.started = True
            return call

    def entries_to_overtake(self, leases: int, now: float) -> list[Entry]:
        """The entries that should make way for the most urgent waiting call, each told once."""
        with self._lock:
            firsts = self._lines.firsts()
            lowest = min(self._flight.priorities, default=Priority.URGENT)
            if self._holds or all(first.place.priority <= lowest for first in firsts):
                return []
            judge = self._judge(leases, now)
            first = max(firsts, key=lambda call: judge(call).value)
            return self._flight.entries_below(first.place, judge(first).value)

    def priority(self) -> int:
        """The priority given to the most urgent call that does not run; MEDIUM if all do.

        How long calls wait counts among them only. Executors that are compared by it have the
        same right to their slots however old their calls are.
        """
        with self._lock:
            waiting = [call.place.priority for call in self._lines.firsts()]
            sent = self._flight.highest_unstarted()
            return max(waiting if sent is None else [*waiting, sent], default=Priority.MEDIUM)

    def _judge(self, leases: int, now: float) -> Judge:
        backlog_seconds = (self.learned.mean or 0.0) * len(self._lines) / max(leases, 1)

        def judge(call: PendingCall) -> Effective:
            run_time = self.learned.run_time(call)
            return effective(
                call.place.priority,
                waited=now - call.submitted_at,
                backlog_seconds=backlog_seconds,
                run_seconds=None if run_time is None else run_time.mean,
                size=len(call.payload),
            )

        return judge

    def note_taking(self, lease: str, *, many: bool) -> None:
        """Note that *lease* takes several entries at a time from now on, or one."""
        with self._lock:
            if many:
                self._greedy.add(lease)
            else:
                self._greedy.discard(lease)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no call go meanwhile: what is recalled to be cancelled must not leave again."""
        with self._lock:
            self._holds += 1
        try:
            yield
        finally:
            with self._lock:
                self._holds -= 1

    # Settling.

    def is_awaited(self, number: int) -> bool:
        """Whether the call was sent, and its reply is welcome."""
        return number in self._flight.calls or number in self._again

    def find(self, number: int) -> PendingCall | None:
        """The call with that number, if it is not settled."""
        with self._lock:
            here = (call for call in self._here() if call.number == number)
            return self._flight.calls.get(number) or next(here, None)

    def settle(self, number: int, failed: int = 0) -> PendingCall | None:
        """Remove a call whose last reply came; ``None`` if it is settled (by an earlier reply).

        The reply may be to an earlier sending, of a lease that was given up: it is as good.

        Args:
            failed: The attempt that failed, if one did. Where another one is under way since, to
                mend just that, it is no outcome: a lease may say it twice.
        """
        with self._lock:
            return self._settle(number, failed)

    def complete(self, replies: Iterable[Reply]) -> list[tuple[PendingCall, Reply]]:
        """Settle the calls that returned, each with its reply. Who calls this learns from them."""
        ended: list[tuple[PendingCall, Reply]] = []
        with self._lock:
            for reply in replies:
                call = self._settle(reply.number)
                if call is not None:
                    ended.append((call, reply))
        return ended

    def _settle(self, number: int, failed: int = 0) -> PendingCall | None:
        call = self._flight.calls.get(number) or self._again.get(number)
        if call is None or (failed and call.limits.retry and failed < call.attempt):
            return None
        if call.state is CallState.SENT:
            self._flight.leave(call)
            self._tally.remove(call)
            call.state = CallState.SETTLED
            if call.passed:
                self._gates.release(call)
        else:
            self._drop(call, CallState.SETTLED)
        return call

    def cancel(self, call: PendingCall) -> bool:
        """Cancel *call* if it waits or rests here; False if it is elsewhere."""
        with self._lock:
            if not self._drop(call, CallState.CANCELLED):
                return False
            call.drop_payload()
            return True

    def remove(self, call: PendingCall) -> bool:
        """Take out a call that waits here, to settle it without a reply or to let it rest.

        False if it is elsewhere by now.
        """
        with self._lock:
            return self._drop(call, CallState.SETTLED)

    def _drop(self, call: PendingCall, state: CallState) -> bool:
        """Take *call* out of what waits and rests, if it does; its place is skipped later."""
        if call.state is CallState.WAITING:
            self._again.pop(call.number, None)
            self._lines.forget(call)
            self._tally.remove(call)
            self._gates.release(call)
        elif call.state is CallState.LIMITED:
            self._again.pop(call.number, None)
            self._gates.release(call)
        elif call.state is not CallState.RESTING:
            return False
        call.state = state
        return True

    def drain(self) -> list[PendingCall]:
        """Settle every call without a reply."""
        with self._lock:
            calls = [*self._flight.calls.values(), *self._here()]
            for part in (self._flight, self._lines, self._gates, self._resting, self._again):
                part.clear()
            self._tally.clear()
            for call in calls:
                call.state, call.passed = CallState.SETTLED, ()
            return calls

    # Coming back.

    def entries(self) -> list[Entry]:
        """The stream entries in flight."""
        with self._lock:
            return self._flight.entries()

    def entries_to_recall(self, call: PendingCall) -> list[Entry]:
        """The entry that carries *call*, and those whose calls must not overtake its neighbours."""
        with self._lock:
            return self._flight.entries() if self._limit == 1 else [(call.queue, call.entry)]

    def entries_younger(self, spared: int) -> list[Entry]:
        """The entries in flight whose calls are all younger than the *spared* oldest calls."""
        with self._lock:
            return self._flight.entries_younger(spared)

    def take_back(self, entries: Iterable[Entry]) -> list[PendingCall]:
        """Let the calls of recalled or lost *entries* wait again, before all others.

        Returns:
            The calls that wait again, oldest first. Their ``started`` tells whether they ran.
        """
        with self._lock:
            calls = [call for entry in entries for call in self._flight.leave_entry(entry)]
            calls.sort(key=_number)
            self._wait_again(calls)
            return calls

    def give_back(self, number: int, entry: int | None) -> PendingCall | None:
        """Let a call wait again that a lease took with *entry* and did not start.

        ``None`` if it is not in flight with that entry: the lease may say it twice.

        Args:
            entry: ``None`` for whichever carries it.
        """
        with self._lock:
            call = self._flight.calls.get(number)
            if call is None or entry not in (call.entry, None):
                return None
            self._flight.leave(call)
            self._wait_again([call])
            return call

    def rest(self, call: PendingCall, until: float) -> None:
        """Let a call that left the window wait for its next attempt."""
        with self._lock:
            call.state = CallState.RESTING
            self._resting.add(call, until)

    def wake(self, now: float) -> tuple[bool, float | None]:
        """Let the calls whose rest is over wait for their turn, before all others.

        Returns:
            Whether there were any, and when the next one's rest is over.
        """
        if not self._resting:
            return False, None
        with self._lock:
            woken = sorted(self._resting.pop_due(now), key=_number)
            for call in woken:
                call.submitted_at = now
                self._tally.add(call)
            self._wait_again(woken)
            return bool(woken), self._resting.next_due

    def _wait_again(self, calls: list[PendingCall]) -> None:
        for call in calls:
            call.state = CallState.WAITING
            self._again[call.number] = call
        self._lines.put_back([call for call in calls if not call.has_gates])
        for call in [call for call in reversed(calls) if call.has_gates]:
            self._tally.remove(call)
            self._gates.enter(call, again=True)

    # Limits: `distexec.client.limiter` asks what is to be asked, and brings the answers.

    def rate_questions(self, now: float) -> list[tuple[RateGate, RateQuestion]]:
        """What to ask about rates."""
        with self._lock:
            gates = self._gates.rates()
            found = [(gate, gate.question(now, self._limit)) for gate in gates]
        return [(gate, question) for gate, question in found if question is not None]

    def permit_questions(
        self, now: float, *, nudged: bool
    ) -> list[tuple[PermitGate, PermitQuestion]]:
        """What to say and ask about permits.

        Args:
            nudged: Whether there may be one for somebody who waits.
        """
        with self._lock:
            gates = self._gates.permits()
            for gate in gates if nudged else ():
                gate.nudge()
            found = [(gate, gate.question(now, self._limit)) for gate in gates]
        return [(gate, question) for gate, question in found if question is not None]

    def note_grants(self, gate: RateGate, grants: Grants, now: float) -> None:
        """Keep the instants that the server gave."""
        with self._lock:
            gate.note(grants, now)

    def note_permits(
        self, gate: PermitGate, question: PermitQuestion, permits: Permits, now: float
    ) -> None:
        """Let the calls go on to which the server gave a permit."""
        with self._lock:
            self._pass(gate.note(question, permits, now), now)

    def pass_due(self, now: float) -> float | None:
        """Let the calls go whose instant has come.

        Returns:
            When to look after limits again; ``None`` if none is in use.
        """
        with self._lock:
            for gate in self._gates.rates():
                self._pass(gate.pass_due(now), now)
            self._gates.forget_idle()
            return min((gate.due(self._limit) for gate in self._gates.all()), default=None)

    def _pass(self, calls: Iterable[PendingCall], now: float) -> None:
        passed = [call for call in calls if not self._gates.let_on(call, now)]
        for call in passed:
            call.state = CallState.WAITING
            self._tally.add(call)
        self._lines.put_back(passed)


def _number(call: PendingCall) -> int:
    return call.number
