"""The calls of one executor that are not settled: waiting here in order, or sent and bounded.

A window decides and remembers; it never sends. All its methods are short and take its lock.
"""

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from distexec.client.calls import Batch, CallState, PendingCall
from distexec.scheduling.batching import calls_in_flight, calls_per_entry, is_short
from distexec.scheduling.run_times import RunTime, RunTimes
from distexec.wire.records import CallFlag, Reply

#: Bytes of payload above which a call travels alone: its neighbours would wait for its transfer.
ALONE_BYTES = 64 * 1024

#: Calls with one of these share neither an entry nor a process.
_ALONE = CallFlag.SUSPECT | CallFlag.ALONE | CallFlag.GROUP


#: What is learned of inputs in groups is kept apart, under the function's id and this.
_GROUPS = b" in groups"


class WindowCounts(NamedTuple):
    """How many calls are where."""

    waiting: int
    sent: int
    running: int


class Window:
    """One executor's unsettled calls.

    Args:
        limit: Most calls that run at the same time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        #: In the order to send. Cancelled calls stay until they come to the front: searching for
        #: one would make cancelling many slow.
        self._waiting: deque[PendingCall] = deque()
        self._waiting_count = 0
        #: Calls between two attempts, by the instant of the next one.
        self._resting: list[tuple[float, int, PendingCall]] = []
        #: Calls waiting and sent that want a process for themselves.
        self._alone_count = 0
        self._sent: dict[int, PendingCall] = {}
        #: How many of the sent calls are marked as short. Counted as they come and go: there may be
        #: tens of thousands, and the answer is needed for each call that is sent.
        self._short_count = 0
        #: Waiting calls that were sent before: the reply to that may still come.
        self._again: dict[int, PendingCall] = {}
        #: Calls in flight by the stream entry that carries them.
        self._entries: dict[tuple[str, int], list[PendingCall]] = {}
        self._last_entry: dict[str, int] = {}
        self._run_times = RunTimes()
        self._holds = 0
        #: Whether a call of this executor ever submitted another one to it.
        self._is_recursive = False
        #: Leases that take several entries at a time.
        self._greedy: set[str] = set()

    def add(self, call: PendingCall) -> bool:
        """Let *call* wait its turn; True if nothing else is in flight."""
        with self._lock:
            self._waiting.append(call)
            self._waiting_count += 1
            self._alone_count += bool(call.limits.flags)
            self._is_recursive = self._is_recursive or call.parent is not None
            return not self._sent

    def counts(self) -> WindowCounts:
        """How many calls wait, are sent, and are known to run."""
        with self._lock:
            running = sum(call.started for call in self._sent.values())
            return WindowCounts(self._waiting_count, len(self._sent), running)

    @property
    def outstanding(self) -> int:
        """How many calls are not settled and have something to do: resting ones have not."""
        return self._waiting_count + len(self._sent)

    @property
    def has_waiting(self) -> bool:
        """Whether calls wait here."""
        return self._waiting_count > 0

    @property
    def resting(self) -> int:
        """How many calls wait for the time of their next attempt."""
        return sum(call.state is CallState.RESTING for _, _, call in self._resting.copy())

    @property
    def alone(self) -> int:
        """How many of the outstanding calls want a process for themselves."""
        return self._alone_count

    @property
    def in_flight(self) -> int:
        """How many calls are sent and not settled."""
        return len(self._sent)

    @property
    def cpu_share(self) -> float | None:
        """Processor time over wall time of the calls that ended; ``None`` before the first."""
        overall = self._run_times.overall
        return None if overall is None else overall.cpu_share

    def queues(self) -> set[str]:
        """The queues that unsettled calls are for."""
        with self._lock:
            calls = [*self._waiting, *self._sent.values()]
        return {call.queue for call in calls if call.state is not CallState.CANCELLED}

    def parents(self) -> int:
        """How many running calls of this executor submitted others to it that are not settled.

        They most likely wait for these, and such calls do not count against the limit: recursion on
        one executor would deadlock, as it does in the standard pools.
        """
        with self._lock:
            return self._parents()

    def _parents(self) -> int:
        if not self._is_recursive:
            return 0
        calls = itertools.chain(self._waiting, self._sent.values())
        return len({call.parent for call in calls if call.parent is not None})

    def oldest_unstarted(self) -> float | None:
        """When the oldest call that does not run was submitted."""
        with self._lock:
            for call in self._sent.values():
                if not call.started:
                    return call.submitted_at
            self._skip_cancelled()
            return self._waiting[0].submitted_at if self._waiting else None

    def take_ready(self, leases: int) -> list[Batch]:
        """Move the calls that may go now from waiting to sent, packed into batches.

        Entry numbers are given here, so whoever takes must send before anybody takes again.
        """
        batches: list[Batch] = []
        with self._lock:
            limit = self._limit + self._parents()
            while not self._holds and self._skip_cancelled():
                head = self._waiting[0]
                run_time = self._run_times.get(_kind(head))
                if run_time is not None and head.inputs > 1:
                    run_time = run_time.times(head.inputs)
                in_order = not self._greedy and not self._short_in_flight(2 * limit)
                most = calls_in_flight(run_time, leases, limit, in_order=in_order)
                room = most - len(self._sent)
                if room <= 0:
                    break
                batches.append(self._pack(run_time, room, leases))
        return batches

    def _pack(self, run_time: RunTime | None, room: int, leases: int) -> Batch:
        """Take the first call, and those after it that fit into the same entry."""
        first = self._pop()
        most = min(calls_per_entry(run_time, self._waiting_count, leases), room)
        calls = [first]
        if most > 1 and not _travels_alone(first):
            while len(calls) < most and self._skip_cancelled():
                call = self._waiting[0]
                if (
                    call.function[0] != first.function[0]
                    or call.queue != first.queue
                    or _travels_alone(call)
                ):
                    break
                calls.append(self._pop())
        entry = self._last_entry.get(first.queue, 0) + 1
        self._last_entry[first.queue] = entry
        added = CallFlag.SHORT if is_short(run_time) else 0
        for call in calls:
            call.state, call.entry, call.started = CallState.SENT, entry, False
            call.flags = call.flags & ~CallFlag.SHORT | (0 if call.flags & _ALONE else added)
            self._short_count += bool(call.flags & CallFlag.SHORT)
            self._sent[call.number] = call
        self._entries[first.queue, entry] = calls
        return Batch(first.queue, entry, calls)

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
        """Settle the calls that returned, each with its reply, and learn how long they ran."""
        ended: list[tuple[PendingCall, Reply]] = []
        with self._lock:
            for reply in replies:
                call = self._settle(reply.number)
                if call is not None:
                    ended.append((call, reply))
            self._run_times.add_all(
                [
                    (call.function[0], reply.run_seconds, reply.cpu_seconds)
                    for call, reply in ended
                    if call.inputs == 1
                ]
            )
            for call, reply in ended:
                if call.inputs > 1:
                    self._run_times.add_group(
                        _kind(call), call.inputs, reply.run_seconds, reply.cpu_seconds
                    )
        return ended

    def _settle(self, number: int, failed: int = 0) -> PendingCall | None:
        call = self._sent.get(number) or self._again.get(number)
        if call is None or (failed and call.limits.retry and failed < call.attempt):
            return None
        if call.state is CallState.SENT:
            self._leave_sent(call)
            call.state = CallState.SETTLED
            self._alone_count -= bool(call.limits.flags)
            self._leave_entry(call)
        else:
            self._leave_line(call)
        return call

    def rest(self, call: PendingCall, until: float) -> None:
        """Let a call that left the window wait for its next attempt."""
        with self._lock:
            call.state = CallState.RESTING
            heapq.heappush(self._resting, (until, call.number, call))

    def wake(self, now: float) -> tuple[bool, float | None]:
        """Let the calls whose rest is over wait for their turn, before all others.

        Returns:
            Whether there were any, and when the next one's rest is over.
        """
        if not self._resting:
            return False, None
        with self._lock:
            woken = []
            while self._resting and (
                self._resting[0][0] <= now or self._resting[0][2].state is not CallState.RESTING
            ):
                call = heapq.heappop(self._resting)[2]
                if call.state is CallState.RESTING:
                    call.submitted_at = now
                    self._alone_count += bool(call.limits.flags)
                    woken.append(call)
            self._wait_again(woken)
            return bool(woken), self._resting[0][0] if self._resting else None

    def learn(self, function_id: bytes, run_seconds: float, cpu_seconds: float) -> None:
        """Remember how long a call of the function ran."""
        with self._lock:
            self._run_times.add(function_id, run_seconds, cpu_seconds)

    def run_times(self, function_id: bytes) -> tuple[RunTime | None, RunTime | None]:
        """What is known of the function's calls, and of one input in a group of them."""
        return self._run_times.get(function_id), self._run_times.get(function_id + _GROUPS)

    def note_taking(self, lease: str, *, many: bool) -> None:
        """Note that *lease* takes several entries at a time from now on, or one."""
        with self._lock:
            if many:
                self._greedy.add(lease)
            else:
                self._greedy.discard(lease)

    def _short_in_flight(self, most: int) -> bool:
        """Whether more than *most* calls are in flight, or a short one: it makes leases greedy."""
        return len(self._sent) > most or self._short_count > 0

    def start(self, number: int) -> PendingCall | None:
        """Note that a call runs."""
        with self._lock:
            call = self._sent.get(number)
            if call is not None:
                call.started = True
            return call

    def cancel(self, call: PendingCall) -> bool:
        """Cancel *call* if it waits or rests here; False if it is elsewhere."""
        with self._lock:
            if not self._drop(call, CallState.CANCELLED):
                return False
            call.drop_payload()
            return True

    def waiting(self) -> list[PendingCall]:
        """The calls that wait here, for their turn or for their next attempt."""
        with self._lock:
            return self._here()

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

    def entries(self) -> list[tuple[str, int]]:
        """The stream entries in flight, as ``(queue, entry)``."""
        with self._lock:
            return list(self._entries)

    def entries_to_recall(self, call: PendingCall) -> list[tuple[str, int]]:
        """The entry that carries *call*, and those whose calls must not overtake its neighbours."""
        with self._lock:
            if self._limit == 1:
                return list(self._entries)
            return [(call.queue, call.entry)]

    def entries_younger(self, spared: int) -> list[tuple[str, int]]:
        """The entries in flight whose calls are all younger than the *spared* oldest calls."""
        with self._lock:
            oldest = sorted(self._sent)[:spared]
            kept = {(self._sent[number].queue, self._sent[number].entry) for number in oldest}
            return [key for key in self._entries if key not in kept]

    def take_back(self, entries: Iterable[tuple[str, int]]) -> list[PendingCall]:
        """Let the calls of recalled or lost *entries* wait again, before all others.

        Returns:
            The calls that wait again, oldest first. Their ``started`` tells whether they ran.
        """
        with self._lock:
            calls: list[PendingCall] = []
            for key in entries:
                for call in self._entries.pop(key, ()):
                    if call.number in self._sent:
                        self._leave_sent(call)
                        calls.append(call)
            self._wait_again(calls)
            return calls

    def is_awaited(self, number: int) -> bool:
        """Whether the call was sent, and its reply is welcome."""
        return number in self._sent or number in self._again

    def give_back(self, number: int, entry: int | None) -> PendingCall | None:
        """Let a call wait again that a lease took with *entry* and did not start.

        ``None`` if it is not in flight with that entry: the lease may say it twice.

        Args:
            entry: ``None`` for whichever carries it.
        """
        with self._lock:
            call = self._sent.get(number)
            if call is None or entry not in (call.entry, None):
                return None
            self._leave_sent(call)
            self._leave_entry(call)
            self._wait_again([call])
            return call

    def remove(self, call: PendingCall) -> bool:
        """Take out a call that waits here, to settle it without a reply or to let it rest.

        False if it is elsewhere by now.
        """
        with self._lock:
            return self._leave_line(call)

    def drain(self) -> list[PendingCall]:
        """Settle every call without a reply."""
        with self._lock:
            calls = [*self._sent.values(), *self._here()]
            self._sent.clear()
            self._waiting.clear()
            self._resting.clear()
            self._waiting_count = self._alone_count = self._short_count = 0
            self._entries.clear()
            self._again.clear()
            for call in calls:
                call.state = CallState.SETTLED
            return calls

    def _here(self) -> list[PendingCall]:
        waiting = [call for call in self._waiting if call.state is CallState.WAITING]
        return waiting + [call for _, _, call in self._resting if call.state is CallState.RESTING]

    def _wait_again(self, calls: list[PendingCall]) -> None:
        calls.sort(key=lambda call: call.number)
        for call in reversed(calls):
            call.state = CallState.WAITING
            self._waiting.appendleft(call)
            self._again[call.number] = call
        self._waiting_count += len(calls)

    def _skip_cancelled(self) -> bool:
        """Bring the next live call to the front; False if there is none."""
        while self._waiting and self._waiting[0].state is not CallState.WAITING:
            self._waiting.popleft()
        return bool(self._waiting)

    def _pop(self) -> PendingCall:
        self._waiting_count -= 1
        call = self._waiting.popleft()
        if self._again:
            self._again.pop(call.number, None)
        return call

    def _leave_line(self, call: PendingCall) -> bool:
        """Settle a call that waits here. It may come back, and must not have two places then."""
        if call.state is CallState.WAITING:
            self._waiting.remove(call)
        return self._drop(call, CallState.SETTLED)

    def _drop(self, call: PendingCall, state: CallState) -> bool:
        """Take *call* out of what waits and rests, if it does; its place is skipped later."""
        if call.state is CallState.WAITING:
            self._again.pop(call.number, None)
            self._waiting_count -= 1
            self._alone_count -= bool(call.limits.flags)
        elif call.state is not CallState.RESTING:
            return False
        call.state = state
        return True

    def _leave_sent(self, call: PendingCall) -> None:
        del self._sent[call.number]
        self._short_count -= bool(call.flags & CallFlag.SHORT)

    def _leave_entry(self, call: PendingCall) -> None:
        key = call.queue, call.entry
        siblings = self._entries.get(key)
        if siblings is not None:
            siblings.remove(call)
            if not siblings:
                del self._entries[key]


def _travels_alone(call: PendingCall) -> bool:
    return len(call.payload) > ALONE_BYTES or bool(call.flags & _ALONE)


def _kind(call: PendingCall) -> bytes:
    """Under which key run times of such calls are learned."""
    function_id = call.function[0]
    return function_id + _GROUPS if call.flags & CallFlag.GROUP else function_id
