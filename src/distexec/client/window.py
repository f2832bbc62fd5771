"""The calls of one executor that are not settled: waiting here in order, or sent and bounded.

A window decides and remembers; it never sends. All its methods are short and take its lock. What
waits is in `distexec.client.line`, for a limit in `distexec.client.gates`, and what is sent in
`distexec.client.flight`; what goes from one to the other is decided in
`distexec.client.departures`.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from distexec.client.calls import NO_LIMITS, Batch, CallState, PendingCall
from distexec.client.departures import Chooser, Departures
from distexec.client.flight import Entry, Flight
from distexec.client.gates import Gates
from distexec.client.learned import Learned
from distexec.client.line import Resting
from distexec.client.lines import Lines
from distexec.client.tally import Tally
from distexec.scheduling.placement import Estimate
from distexec.scheduling.priorities import Effective
from distexec.wire.records import Reply


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
        gates: Where calls wait for a limit of the whole cluster.
    """

    def __init__(
        self, limit: int, choose: Chooser | None = None, learned: Learned | None = None
    ) -> None:
        self._limit = limit
        self.learned = learned or Learned()
        self._lock = threading.Lock()
        self._lines, self._resting, self._flight = Lines(), Resting(), Flight()
        self.gates = Gates(self._lock, limit, self._let_go)
        self._departures = Departures(self._lines, self._flight, limit, self.learned, choose)
        self._tally = Tally()
        self._holds = 0

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
    def wants_room(self) -> bool:
        """Whether calls wait for what one that ends makes free: room in flight, or a permit."""
        return len(self._lines) > 0 or bool(self.gates)

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
        return [*self._lines, *self.gates, *self._resting]

    # Sending.

    def add(self, call: PendingCall) -> bool:
        """Let *call* wait its turn; True if who submits it is to send what waits.

        That is so while fewer calls are in flight than may run, and as many wait. So the first of a
        burst leave at once, in a few pieces, and not only when another thread gets the
        interpreter's lock.
        """
        with self._lock:
            if call.limits is not NO_LIMITS and call.has_gates:
                self.gates.enter(call)
                return False
            self._lines.add(call)
            self._tally.add(call)
            in_flight = len(self._flight)
            return in_flight < self._limit and len(self._lines) >= in_flight

    def take_ready(self, leases: int, now: float) -> list[Batch]:
        """Move the calls that may go now from waiting to sent, packed into batches.

        Entry numbers are given here, so whoever takes must send before anybody takes again.
        """
        with self._lock:
            if self._holds:
                return []
            return self._departures.take_ready(leases, now, len(self._tally.parents))

    def judge(
        self, call: PendingCall, leases: int, now: float
    ) -> tuple[tuple[Estimate, ...], Effective]:
        """What a call that waits here may expect of its queues, and how urgent it is by now."""
        with self._lock:
            self._departures.find_queue(call)
            return call.estimates, self._departures.judge(call, leases, now)

    def movable(self, is_stuck: Callable[[str, tuple[str, ...], float], bool]) -> list[Entry]:
        """The entries that nobody may have taken, of calls that have a choice and are stuck."""
        with self._lock:
            places = self._flight.choices()
        stuck = {place for place, since in places.items() if is_stuck(*place, since)}
        with self._lock:
            return self._flight.entries_of(stuck)

    def sent_to(self, queue: str) -> int:
        """How many calls are sent to *queue* and not settled."""
        return self._flight.queues.get(queue, 0)

    def backlog_of(self, queue: str) -> int:
        """How many calls wait that may go to *queue*, or are sent there."""
        with self._lock:
            places = self._lines.places().items()
            waiting = sum(count for place, count in places if queue in place.queues)
            return waiting + self._flight.queues.get(queue, 0)

    def outstanding_for(self, queue: str) -> int:
        """How many calls wait for *queue*, which have no other, or are sent there."""
        with self._lock:
            waiting = sum(
                count for place, count in self._lines.places().items() if place.queues == (queue,)
            )
            return waiting + self._flight.queues.get(queue, 0)

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
            return [] if self._holds else self._departures.to_overtake(leases, now)

    def priority(self) -> int:
        """The priority given to the most urgent call that does not run; MEDIUM if all do.

        How long calls wait counts among them only. Executors that are compared by it have the
        same right to their slots however old their calls are.
        """
        with self._lock:
            return self._departures.priority()

    def note_taking(self, lease: str, *, many: bool) -> None:
        """Note that *lease* takes several entries at a time from now on, or one."""
        with self._lock:
            self._departures.note_taking(lease, many=many)

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
        return number in self._flight.calls or number in self._lines.again

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
        call = self._flight.calls.get(number) or self._lines.again.get(number)
        if call is None or (failed and call.limits.retry and failed < call.attempt):
            return None
        if call.state is CallState.SENT:
            self._flight.leave(call)
            self._tally.remove(call)
            call.state = CallState.SETTLED
            if call.passed:
                self.gates.release(call)
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
            self._lines.forget(call)
            self._tally.remove(call)
            self.gates.release(call)
        elif call.state is CallState.LIMITED:
            self._lines.again.pop(call.number, None)
            self.gates.release(call)
        elif call.state is not CallState.RESTING:
            return False
        call.state = state
        return True

    def drain(self) -> list[PendingCall]:
        """Settle every call without a reply."""
        with self._lock:
            calls = [*self._flight.calls.values(), *self._here()]
            for part in (self._flight, self._lines, self.gates, self._resting):
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
            self._lines.again[call.number] = call
        self._lines.put_back([call for call in calls if not call.has_gates])
        for call in [call for call in reversed(calls) if call.has_gates]:
            self._tally.remove(call)
            self.gates.enter(call, again=True)

    def _let_go(self, calls: list[PendingCall]) -> None:
        """Take over what a limit has let go: it is the next of its line."""
        for call in calls:
            call.state = CallState.WAITING
            self._tally.add(call)
        self._lines.put_back(calls)


def _number(call: PendingCall) -> int:
    return call.number
