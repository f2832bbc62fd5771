"""Reads a lease's call stream: what one of its threads does that has no call to run."""

import enum
import time
from collections.abc import Callable, Sequence

from distexec.settings import Settings
from distexec.store.lease_port import LeaseStore
from distexec.store.port import ExecutorRef
from distexec.wire.records import Envelope, Reply, ReplyKind
from distexec.worker.contact import PASSING
from distexec.worker.reader import Reader
from distexec.worker.runners import Runners
from distexec.worker.standing import Standing

#: Seconds of an idle lease's first look at the stream, and of the later ones. Between two looks it
#: notices that others ask for its slot.
FIRST_LOOK_SECONDS = 0.05
LOOK_SECONDS = 0.25

#: The same where others ask for the queue: a new call of its own is worth so long a wait, at most.
CROWDED_LOOK_SECONDS = 0.02


class Grant(enum.Enum):
    """What became of a wish to reserve a call."""

    GIVEN = "it is in the lease's hands"
    REFUSED = "not now"
    NOT_ASKED = "there is no need, or no right"
    UNANSWERED = "it may be the lease's by now, and others wait for it"


class Leader:
    """What the leading thread of a lease does; one at a time.

    Args:
        may_return: Whether calls that were taken may be given back to yield at once.
        others_wait: Whether somebody else asks for this slot; called while idle.
        should_yield: Whether the slot must be given back at this call boundary, given whether
            nothing else runs in it.
    """

    def __init__(
        self,
        store: LeaseStore,
        name: str,
        ref: ExecutorRef,
        reader: Reader,
        standing: Standing,
        runners: Runners,
        settings: Settings,
        *,
        may_return: bool,
        others_wait: Callable[[], bool],
        should_yield: Callable[[bool], bool],
    ) -> None:
        self._store, self._name, self._ref = store, name, ref
        self._reader, self._standing, self._runners = reader, standing, runners
        self._linger, self._may_return = settings.linger_seconds, may_return
        self._others_wait, self._should_yield = others_wait, should_yield
        #: Whether a thread leads now. Guarded by the lease's lock.
        self.is_leading = False
        #: Whether the caller knows that several entries are taken at a time.
        self._takes_many = False

    def lead(self, is_main: bool) -> None:
        """Send what is to be told, and read the stream once, as the only thread that does."""
        standing, must_yield = self._standing, False
        hands = standing.hands
        entries: list[tuple[int, Sequence[Envelope]]] = []
        try:
            with standing.lock:
                is_idle = not hands.running and not hands.taken
                free = len(self._runners) - len(hands.running)
                idle_seconds = time.monotonic() - standing.idle_since
            if self._should_yield(is_idle):
                standing.end()
                standing.send()
                return
            if pause := standing.contact.pause():
                with standing.lock:
                    standing.idle.wait(pause, is_main=is_main)
                return
            count = self._reader.entries_to_take(standing.run_times.overall, free)
            wait = self._look_seconds(idle_seconds)
            held = standing.outbox.exchange(count, wait if is_idle else 0.0)
            standing.learn()
            if held is not None and not held and (is_idle or not standing.outbox):
                held = self._store.take(count, wait)
            standing.contact.heard()
            if held is None:
                standing.lose()
            elif held:
                entries = [(each.entry, self._reader.read(each)) for each in held]
                # Others may have asked since the last call began, and these have not begun yet.
                # Where calls run one at a time, they would be overtaken on their way back.
                must_yield = self._may_return and self._should_yield(is_idle)
            elif is_idle and is_main:
                self._leave_if_idle(idle_seconds)
        except PASSING as error:
            standing.miss(error)
        except Exception as error:
            standing.fail(error)
        finally:
            with standing.lock:
                self.is_leading = False
                standing.take(entries)
                # That it takes one at a time counts when no other one is left in its hands.
                free = len(self._runners) - len(hands.running)
                if self._reader.takes_many or len(hands.taken) <= free:
                    self.tell_taking(self._reader.takes_many)
                if must_yield:
                    standing.end()
                if len(self._runners) > 1:
                    # One to lead next, and one for each call but the first, which is for this one.
                    standing.idle.wake(max(1, len(standing.hands.taken)))

    def reserve(self, until: float, most_threads: int) -> Grant:
        """Take the call that is next for a thread whose call ends soon; all are busy.

        Called by the keeper, while no thread leads.

        Args:
            until: When it is to be given back.
            most_threads: As in `LeaseStore.reserve`.
        """
        standing = self._standing
        hands, outbox = standing.hands, standing.outbox
        with standing.lock:
            is_free = len(hands.running) < len(self._runners)
            if self.is_leading or standing.has_ended or hands.taken or outbox or is_free:
                return Grant.NOT_ASKED  # Somebody looks anyway, or is about to.
            self.is_leading = True
        entries: list[tuple[int, Sequence[Envelope]]] = []
        try:
            # Whoever else asks for the slot may have it at the end of the call.
            if self._store.asking > 1 or self._should_yield(False):
                return Grant.NOT_ASKED
            held = self._store.reserve(most_threads)
            standing.contact.heard()
            if held is None:
                standing.lose()
            else:
                entries = [(each.entry, self._reader.read(each)) for each in held]
        except PASSING as error:
            standing.miss(error)
            return Grant.UNANSWERED
        finally:
            with standing.lock:
                self.is_leading = False
                standing.take(entries)
                if hands.taken and len(hands.running) >= len(self._runners):
                    hands.reserve(hands.taken[0].entry, until)
                elif entries:
                    outbox.start_reserved()
                standing.idle.wake(1)
        if outbox:
            standing.send(wait=False)
        return Grant.GIVEN if entries else Grant.REFUSED

    def _look_seconds(self, idle_seconds: float) -> float:
        """How long to wait for an entry."""
        if idle_seconds >= LOOK_SECONDS:
            return LOOK_SECONDS
        if self._store.asking > 1:
            return CROWDED_LOOK_SECONDS
        return FIRST_LOOK_SECONDS if idle_seconds < FIRST_LOOK_SECONDS else LOOK_SECONDS

    def tell_taking(self, many: bool) -> None:
        """Let the caller know, before the next reply, how many entries are taken at a time."""
        if many is not self._takes_many:
            self._takes_many = many
            kind = ReplyKind.TAKES_MANY if many else ReplyKind.TAKES_ONE
            number, name = int(self._ref.executor), self._name.encode()
            self._standing.outbox.post(Reply(number, kind, 0, 0.0, 0.0, name))

    def _leave_if_idle(self, idle_seconds: float) -> None:
        if idle_seconds < self._linger and not self._others_wait():
            return
        if self._store.leave(force=False):
            self._standing.end()
