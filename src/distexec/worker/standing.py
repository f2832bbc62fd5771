"""Where a lease stands: what it holds, what it has to tell, and whether anybody hears it."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from distexec.scheduling.histogram import Histogram
from distexec.scheduling.run_times import RunTimes
from distexec.settings import Settings
from distexec.store.lease_port import LeaseStore
from distexec.wire.records import Envelope, Reply, ReplyKind, pack_entry
from distexec.worker.contact import PASSING, Contact
from distexec.worker.hands import Hands, Running, Taken
from distexec.worker.idle import Idle
from distexec.worker.keeper import Keeper
from distexec.worker.outbox import Outbox

T = TypeVar("T")

#: A caller is told that a call runs once it has done so for so many seconds: telling takes as much
#: of the machine as a reply. One that is known to last longer says so before it starts, since the
#: keeper is deaf while a call holds the interpreter's lock. A trip is a thousandth of such a call.
ANNOUNCE_SECONDS = 0.1


class Standing:
    """What the threads of one lease share. Thread-safe.

    Args:
        keeper: Is woken when there is something to look after.
        tally: Counts how long calls ran.
    """

    def __init__(
        self,
        store: LeaseStore,
        outbox: Outbox,
        keeper: Keeper,
        tally: Histogram,
        settings: Settings,
    ) -> None:
        self._store, self.outbox, self.keeper, self._tally = store, outbox, keeper, tally
        self.contact = Contact(settings.key_expiry_seconds)
        self.lock = threading.RLock()
        # All below is guarded by it.
        self.idle = Idle(self.lock)
        self.hands = Hands()
        self.run_times = RunTimes()
        #: Function, run and processor seconds of calls that ended, and are not learned from yet.
        self.ended_calls: list[tuple[bytes, float, float]] = []
        self.idle_since = time.monotonic()
        #: Calls that ran to their end.
        self.calls_run = 0
        #: Whether nothing more is taken.
        self.has_ended = False
        #: Whether somebody else answers for what is held: nobody hears this lease.
        self.is_void = False
        #: Why the lease cannot tell its caller how its calls ended, if so.
        self.failure: Exception | None = None

    # How it ends.

    def end(self) -> None:
        """Take nothing more; hand back what did not start."""
        with self.lock:
            self.has_ended = True
            if self.hands.end_reservation():
                self.outbox.start_reserved()  # Or is sent again by its caller, as all others.
            self.give_back(self.hands.let_go())
            self.idle.wake_all()

    def lose(self) -> None:
        """End without a word: somebody else answers for what is held."""
        with self.lock:
            self.has_ended = self.is_void = True
            self.hands.end_reservation()
            self.hands.taken.clear()
            self.idle.wake_all()
        self.keeper.wake()

    def fail(self, error: Exception) -> None:
        """End, since the store cannot be spoken to."""
        self.failure = self.failure or error
        self.lose()

    def miss(self, error: Exception) -> None:
        """Try again later, unless the server has been away for too long."""
        if not self.contact.missed():
            self.fail(error)

    # What it holds.

    def take(self, entries: Iterable[tuple[int, Sequence[Envelope]]]) -> None:
        """Hold the calls of stream entries that were taken; the caller holds the lock."""
        now = time.monotonic()
        for entry, calls in entries:
            self.outbox.expect(entry, len(calls))
            self.hands.take(entry, calls, now)

    def give_back(self, unstarted: Iterable[Taken]) -> None:
        """Move calls that this lease took back to their caller."""
        for taken in unstarted:
            call, entry = taken.call, taken.entry
            payload = pack_entry(entry)
            reply = Reply(call.number, ReplyKind.RETURNED, call.attempt, 0.0, 0.0, payload)
            self.outbox.answer(entry, reply, time.monotonic())

    def release(self) -> None:
        """Give the reserved entry back to whichever lease is free first; the lock is held."""
        self.hands.let_go()
        self.outbox.give_back(self.hands.end_reservation())

    def learn(self) -> None:
        """Learn from the calls that ended. Their replies go first: it takes as long as a call."""
        with self.lock:
            ended, self.ended_calls = self.ended_calls, []
            if ended:
                self.run_times.add_all(ended)
                self._tally.add_mean([seconds for _, seconds, _ in ended])

    # What it tells.

    def send(self, *, wait: bool = True) -> None:
        """Send the outbox; what the server does not hear now is sent again soon.

        Args:
            wait: As in `Outbox.send`.
        """
        if self.contact.pause():
            return
        try:
            is_heard = self.outbox.send(wait=wait)
        except PASSING as error:
            self.miss(error)
        except Exception as error:
            self.fail(error)
        else:
            self.contact.heard()
            if not is_heard:
                self.lose()

    def part(self) -> bool:
        """Say what is left to say, and leave, as soon as the server hears it; False if never."""
        while self.failure is None:
            self.send()
            if self.is_void or not self.outbox:
                try:
                    self._store.leave(force=True)
                    return True
                except PASSING as error:
                    self.miss(error)
            time.sleep(self.contact.pause())
        return False

    def post(self, reply: Reply) -> None:
        """Send a reply that ends no call."""
        self.outbox.post(reply)
        self.keeper.wake()

    def must_announce(self, running: Running) -> bool:
        """Whether the caller must know that this call starts before it does.

        Where this lease knows nothing of its function, its caller may know that it is short.
        """
        taken = running.taken
        known = self.run_times.get(taken.call.function_id)
        if known is None:
            return not taken.is_short
        return known.mean > ANNOUNCE_SECONDS or taken.runs_alone

    def announce(self, started: Sequence[Running]) -> None:
        """Tell the caller that these calls run."""
        for running in started:
            running.announced = True
            call = running.taken.call
            self.outbox.post(Reply(call.number, ReplyKind.STARTED, call.attempt, 0.0, 0.0, b""))
        self.send()
        # The death of this process could not be charged to a suspect that is not known to run.
        while started[0].taken.runs_alone and self.outbox and not self.is_void:
            time.sleep(self.contact.pause())
            self.send()

    def patiently(self, ask: Callable[[], T]) -> T:
        """What the store answers, however long it takes while the running calls may count."""
        while True:
            try:
                answer = ask()
            except PASSING as error:
                self.miss(error)
                if self.is_void:
                    raise
                time.sleep(self.contact.pause())
            else:
                self.contact.heard()
                return answer

    def ask_whether_void(self) -> None:
        """Ask whether this lease still counts: its caller may be gone, or may think that it is."""
        try:
            counts = self._store.counts()
        except PASSING as error:
            self.miss(error)
            return
        self.contact.heard()
        if not counts:
            self.lose()
