"""What becomes of the calls of a lease that is lost, or that is ended to stop a call.

A call that runs at most once is sent again only if it is certain that it never started. A lease
says that such a call starts before it does, and starts it only when that was heard; so who has read
all that a lease said before its end knows.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from distexec.client.calls import CallState, PendingCall
from distexec.client.channel import Channel
from distexec.client.letters import keep_letter
from distexec.client.outcomes import conclude, settle
from distexec.errors import CallKilled, CallTimeout, ClusterError, WorkerLost
from distexec.store.caller_port import ReplyMark
from distexec.store.port import LeaseRecord, SessionUnknown
from distexec.wire.records import CallFlag

if TYPE_CHECKING:
    from distexec.client.session import Session

logger = logging.getLogger(__name__)

#: Executions of a call that may end with their worker, before the call is given up.
MOST_ATTEMPTS = 3

#: Seconds between two looks whether all that a lost lease said has been read.
HEARING_SECONDS = 0.01

#: Seconds that `kill` waits to see where a call is: in nobody's hands, or running.
KILL_PATIENCE_SECONDS = 2.0

#: The part of it after which a call in a lease's hands counts as running, though it does not say
#: so: one that holds the interpreter's lock keeps its lease from saying anything.
SILENCE_SECONDS = 0.5

Entries = Sequence[tuple[str, int]]


class _Lost(NamedTuple):
    """A lease that was ended, and what it held."""

    channel: Channel
    lease: str
    held: Entries
    story: str
    #: Whether its end may be the doing of one of its calls.
    is_charged: bool
    #: The last reply that it can have sent.
    mark: ReplyMark
    #: When to go on without having read that.
    hear_until: float


class Losses:
    """One session's lost leases."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._unheard: deque[_Lost] = deque()

    def bury(
        self,
        channel: Channel,
        lease: str,
        story: str,
        *,
        is_charged: bool = True,
        overdue: int | None = None,
    ) -> None:
        """Send again what a dead lease held: what it ran is charged, and all of it runs alone.

        On the collector's thread, which has read all that the lease said.

        Args:
            is_charged: The lease died, and any call may be to blame; not if its node was told to
                end.
            overdue: Number of the call whose time was over, if the process was ended for that.
        """
        held = self._end(channel, lease)
        if held is not None:
            self._move(channel, lease, held, story, is_charged=is_charged, overdue=overdue)

    def bury_unheard(
        self, channel: Channel, lease: str, story: str, *, is_charged: bool = True
    ) -> None:
        """As `bury`, from any thread: soon, when all that the lease said has been read."""
        held = self._end(channel, lease)
        if not held:
            return
        try:
            # Replies of the whole session, whatever the queue.
            _, mark = self._session.store.census(channel.ref, held[0][0], ())
        except (ClusterError, SessionUnknown) as error:
            self._session.lost_server(error)
            self._move(channel, lease, held, story, is_charged=is_charged, is_heard=False)
            return
        until = time.monotonic() + self._session.settings.connect_seconds
        self._unheard.append(_Lost(channel, lease, held, story, is_charged, mark, until))
        self._session.dispatcher.notify()

    def look(self) -> bool:
        """Move the calls of the leases that were heard out; True if there are others.

        On the dispatcher's thread.
        """
        for _ in range(len(self._unheard)):
            lost = self._unheard.popleft()
            is_heard = self._session.store.has_collected(lost.mark)
            if is_heard or time.monotonic() > lost.hear_until:
                channel, lease, held, story, is_charged, *_ = lost
                self._move(channel, lease, held, story, is_charged=is_charged, is_heard=is_heard)
            else:
                self._unheard.append(lost)
        return bool(self._unheard)

    def fail_uncertain(self, channel: Channel, calls: Iterable[PendingCall], story: str) -> None:
        """Fail those of *calls*, which wait again, that run at most once: they may have started."""
        for call in calls:
            if call.limits.at_most_once and channel.window.remove(call):
                self._fail_lost(channel, call, f"{story}; not run again (at_most_once=True)")

    def run_again(self, channel: Channel, number: int, why: str) -> None:
        """Send a call again whose result cannot be fetched any more."""
        with channel.window.held():
            call = channel.window.give_back(number, None)
            if call is not None:
                story = f"it ended, and its result was lost: {why}"
                self.fail_uncertain(channel, [call], story)
                if call.is_here:
                    self._charge(channel, call, story)
        self._session.dispatch(channel, at_once=False)

    def _end(self, channel: Channel, lease: str) -> Entries | None:
        try:
            return self._session.store.bury(channel.ref, lease)
        except (ClusterError, SessionUnknown) as error:
            self._session.lost_server(error)
            return None

    def _move(
        self,
        channel: Channel,
        lease: str,
        held: Entries,
        story: str,
        *,
        is_charged: bool,
        overdue: int | None = None,
        is_heard: bool = True,
    ) -> None:
        """Let the calls of *held* wait again, and write down what that means for each."""
        channel.leases = max(0, channel.leases - 1)
        # Its wake-up was answered: the next one is not under way.
        channel.wake_ups.clear()
        if channel.spec.limit == 1:
            # What it held must not be overtaken by what nobody took.
            self._session.recall(channel, channel.window.entries())
        channel.window.note_taking(lease, many=False)
        # Held until all is written down: no call may leave without its mark.
        with channel.window.held():
            calls = channel.window.take_back(held)
            if calls:
                logger.info("Lease %s was lost with %d calls: %s", lease, len(calls), story)
            if overdue is not None:
                for call in [call for call in calls if call.number == overdue]:
                    calls.remove(call)
                    self._time_out(channel, call, story)
            started = [call for call in calls if call.started or not is_heard]
            self.fail_uncertain(channel, started, story)
            for call in calls if is_charged else ():
                call.flags |= CallFlag.SUSPECT
                if call.started and call.is_here:
                    self._charge(channel, call, story)
        self._session.dispatch(channel, at_once=False)

    def _charge(self, channel: Channel, call: PendingCall, story: str) -> None:
        """Count an attempt that ended with its worker; give the call up after too many."""
        call.lost += 1
        channel.counters.lost += 1
        if call.lost < MOST_ATTEMPTS:
            call.next_attempt(story)
            channel.counters.retried += 1
        elif channel.window.remove(call):
            self._fail_lost(channel, call, story)

    def _fail_lost(self, channel: Channel, call: PendingCall, story: str) -> None:
        error = WorkerLost(call.label, (*call.stories, story))
        keep_letter(channel, call, error)
        self._session.fail(channel, call, error)

    def _time_out(self, channel: Channel, call: PendingCall, story: str) -> None:
        """End an attempt that could only be stopped with its process."""
        if channel.window.remove(call):
            channel.settled(conclude(channel, call, CallTimeout(call.limits.timeout, story)))

    # On purpose.

    def kill(self, channel: Channel, call: PendingCall) -> bool:
        """Stop *call* wherever it is; True only if it will not deliver."""
        began = time.monotonic()
        while not call.future.done() and time.monotonic() - began < KILL_PATIENCE_SECONDS:
            if call.future.cancel():
                return True
            is_silent = time.monotonic() - began > SILENCE_SECONDS
            if call.state is CallState.SENT and (call.started or is_silent):
                try:
                    lease = self._session.store.condemn(channel.ref, call.queue, call.entry)
                except (ClusterError, SessionUnknown) as error:
                    self._session.lost_server(error)
                    return False
                if lease is not None:
                    return self._stop(channel, call, lease)
            time.sleep(HEARING_SECONDS)
        return False

    def _stop(self, channel: Channel, call: PendingCall, lease: LeaseRecord) -> bool:
        """End the process of *lease*, which is not heard any more, and settle *call*.

        The other calls that it held run elsewhere: uncharged, since it is not their doing.
        """
        place = f"node {lease.node}, process {lease.pid}"
        killed = channel.window.settle(call.number) is call
        if killed:
            channel.counters.failed += 1
            call.drop_payload()
            error = CallKilled(call.label, place)
            channel.settled(settle(channel, call.future, error=error))
        self.bury_unheard(
            channel, lease.lease, f"{place}, killed with a call that it ran", is_charged=False
        )
        if lease.pid != os.getpid():
            try:
                self._session.order(
                    lease.node, do="kill", pids=[lease.pid], signal="KILL", lease=lease.lease
                )
            except ClusterError as error:
                self._session.lost_server(error)  # It ends when it notices that it is not heard.
        return killed
