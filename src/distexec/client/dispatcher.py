"""Sends calls: the way from an executor's window to its call streams.

::

    submit() --> +--------+ --take--> +------------+ --put--> call streams --> leases
                 | window |           | dispatcher |
    Future  <--  +--------+ <--+      +------------+ --ask, wake--> slots
                               |
                     settle    |      +-----------+
                               +----- | collector | <------- reply stream <-- leases
                                      +-----------+

- ``submit`` adds a call to its executor's window. It sends what waits there itself if nothing is in
  flight, and again each time that doubles what is, until as many are as may run. Otherwise it
  notifies the dispatcher, whose thread sends what gathered meanwhile.
- The dispatcher takes from the window what may be in flight, seals it, and puts it on the stream.
  It learns there how many leases the executor has, and asks for more if work waits.
- The collector settles calls as their replies come, which makes room in the window.
- The warden looks after everything that is about time: beats, lost leases, repeated demand.
"""

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from distexec.client.calls import MOST_FUNCTIONS, Batch
from distexec.client.channel import Channel, Outgoing
from distexec.errors import ClusterError
from distexec.scheduling.demand import WakeUps, slots_worth_having
from distexec.store.port import Held, SessionUnknown
from distexec.wire import places
from distexec.wire.codec import encode_calls
from distexec.wire.records import WIRE_VERSION, Demand, Envelope, record
from distexec.wire.seal import Direction
from distexec.worker.slot import pack_demand

if TYPE_CHECKING:
    from distexec.client.session import Session

logger = logging.getLogger(__name__)

#: Seconds that `submit` lets a slow server hold its caller. The dispatcher tries again then.
CALLER_PATIENCE_SECONDS = 0.2

#: Seconds after which the dispatcher looks again at a channel that another thread sends from. It
#: does not wait for the channel's lock: with that, and without the interpreter's, which a program
#: that submits many calls gives away every 5 ms, it would keep `submit` from sending.
OTHERS_SECONDS = 0.001


class Dispatcher:
    """One session's sending side: a thread, and `send` for callers that send themselves."""

    def __init__(self, session: "Session", look_after: Callable[[], float]) -> None:
        self._session = session
        #: Does what is due by the clock; returns seconds until it wants to be called again.
        self._look_after = look_after
        #: Channels with something to send, and ``None`` to look at the clock. This kind of queue
        #: may be filled by a finalizer, in whatever thread the garbage collector runs.
        self._notices: SimpleQueue[Channel | None] = SimpleQueue()
        self._stopping = False
        self._sender = threading.Thread(target=self._run, name="distexec-dispatcher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._sender.start()

    def stop(self) -> None:
        """End the thread, and wait for it unless it is the calling one."""
        self._stopping = True
        self._notices.put(None)
        if self._sender is not threading.current_thread():
            self._sender.join()

    def notify(self, channel: Channel | None = None) -> None:
        """Let the thread send what *channel* has ready; without one, look at the clock."""
        if channel is None:
            self._notices.put(None)
        elif not channel.noticed:
            channel.noticed = True
            self._notices.put(channel)

    def send_now(self, channel: Channel) -> None:
        """Send what *channel* has ready from this thread, unless another one is sending it.

        What could not be sent goes first, and a thread that can wait sends it.
        """
        if channel.outgoing or not channel.sending.acquire(blocking=False):
            self.notify(channel)
            return
        try:
            self._send(channel, CALLER_PATIENCE_SECONDS)
        finally:
            channel.sending.release()

    def _run(self) -> None:
        due = 0.0
        # Channels that other threads were sending from.
        others: list[Channel] = []
        while not self._stopping:
            pause = max(0.0, due - time.monotonic())
            ready, must_look = self._wait(min(pause, OTHERS_SECONDS) if others else pause)
            ready += others
            others = []
            try:
                for channel in ready:
                    if channel.dropped:
                        channel.shut_down()
                    if not channel.sending.acquire(blocking=False):
                        others.append(channel)
                        continue
                    try:
                        # Before the window is looked at: what comes later is noticed anew.
                        channel.noticed = False
                        self._send(channel)
                    finally:
                        channel.sending.release()
                if must_look or time.monotonic() >= due:
                    due = time.monotonic() + self._look_after()
            except Exception as error:
                # A mistake of ours. Without this thread no call would ever end.
                self._session.give_up(error)

    def _wait(self, timeout: float) -> tuple[list[Channel], bool]:
        """Wait for notices, at most *timeout* seconds.

        Returns:
            The channels that have something to send, and whether the clock must be looked at.
        """
        ready: list[Channel] = []
        must_look = False
        try:
            notice = self._notices.get(timeout=timeout)
            while True:
                if notice is None:
                    must_look = True
                else:
                    ready.append(notice)
                notice = self._notices.get_nowait()
        except Empty:
            return ready, must_look

    def _send(self, channel: Channel, patience: float | None = None) -> None:
        """Send until nothing may go; the caller holds ``channel.sending``."""
        try:
            while self._put(channel, patience) and channel.window.wants_room:
                now = time.monotonic()
                # Before anything goes: it would go behind them.
                slower = channel.window.entries_to_overtake(channel.leases, now)
                if slower:
                    self._session.recall_sent(channel, slower)
                batches = channel.window.take_ready(channel.leases, now)
                if not batches:
                    break
                channel.notice_room()
                if len(batches) == 1:
                    self._seal(channel, batches[0].queue, batches)
                    continue
                for queue in {batch.queue for batch in batches}:
                    self._seal(channel, queue, [batch for batch in batches if batch.queue == queue])
        except (ClusterError, SessionUnknown) as error:
            self._session.lost_server(error)

    def _put(self, channel: Channel, patience: float | None) -> bool:
        """Put what is sealed on the call streams. What fails stays, and is put again as it is.

        Returns:
            False if that takes long, and is left to the dispatcher's thread.
        """
        while channel.outgoing:
            queue, entries, functions, values = channel.outgoing[0]
            for value in values:
                if value.is_on_server:
                    continue
                if patience is not None:
                    self.notify(channel)
                    return False
                self._session.depot.send(value)
            channel.leases = self._session.store.put(
                channel.ref, queue, entries, functions, patience=patience
            )
            channel.outgoing.popleft()
            self.ask(channel, queue)
        return True

    def _seal(self, channel: Channel, queue: str, batches: Sequence[Batch]) -> None:
        ref, seal = channel.ref, self._session.seal
        entries = []
        for batch in batches:
            envelopes = [
                record(
                    Envelope,
                    (
                        call.number,
                        call.function[0],
                        call.attempt,
                        call.flags,
                        call.payload,
                        call.limits.timeout,
                    ),
                )
                for call in batch.calls
            ]
            place = places.call(ref.session, ref.executor, queue, batch.entry)
            body = encode_calls(envelopes)
            frame = seal.seal(Direction.CALL, place, body, self._session.codec)
            entries.append(Held(batch.entry, frame))
            channel.counters.bytes_sent += len(frame)
        functions = self._new_functions(channel, batches)
        values = [value for batch in batches for call in batch.calls for value in call.values]
        if values:
            self._session.placing.note_fetched(queue, values)
        channel.outgoing.append(Outgoing(queue, entries, functions, values))

    def _new_functions(
        self, channel: Channel, batches: Sequence[Batch]
    ) -> list[tuple[bytes, bytes]]:
        """The functions of these calls that the server does not have, sealed."""
        new: list[tuple[bytes, bytes]] = []
        known, ref = channel.functions, channel.ref
        for batch in batches:
            for call in batch.calls:
                function_id, data = call.function
                if function_id in known:
                    known.move_to_end(function_id)
                    continue
                known[function_id] = None
                place = places.function(ref.session, ref.executor, function_id)
                new.append((function_id, self._session.seal.seal(Direction.STORED, place, data)))
        dropped = []
        while len(known) > MOST_FUNCTIONS:
            dropped.append(known.popitem(last=False)[0])
        if dropped:
            self._session.store.drop_functions(ref, dropped)
        return new

    def withdraw(self, channel: Channel) -> None:
        """Ask for nothing any more: else a slot that its lease left would come back at once."""
        with channel.sending:
            if not channel.window.outstanding:
                for queue in channel.asked:
                    self._session.store.ask(queue, channel.ref, None)
                channel.asked.clear()
                channel.wake_ups.clear()  # Whoever comes now finds nobody that asks.

    def ask(self, channel: Channel, queue: str, *, again: bool = False) -> None:
        """Ask for the leases that would have something to do, and wake slots for them.

        Args:
            again: Repeat what was asked before: it may have been lost.
        """
        cluster, ref = self._session.cluster, channel.ref
        now = time.monotonic()
        wake_ups, last = channel.wake_ups.get(queue), channel.asked.get(queue)
        if wake_ups is not None and last is not None and not again and len(channel.asked) == 1:
            # Nearly always: each call finds a lease that waits for it, or there may not be more.
            leases, most = channel.leases, channel.spec.limit
            is_served = leases >= most or channel.window.outstanding <= leases or channel.is_full
            if is_served and channel.window.priority() <= last.priority:
                wake_ups.to_send(wanted=0, leases=leases, now=now)
                return
        cpu_share = channel.window.learned.cpu_share
        # Looked up only where it counts: thousands of running calls may stand before it.
        oldest = channel.window.oldest_unstarted() if cpu_share is None else None
        # Leases of its other queues do not help this one.
        elsewhere = min(channel.leases_outside(queue), channel.leases)
        wanted = elsewhere + slots_worth_having(
            outstanding=channel.window.outstanding_for(queue),
            limit=channel.spec.limit,
            sharing=channel.sharing,
            alone=channel.window.alone,
            cpu_share=cpu_share,
            oldest_wait=0.0 if oldest is None else now - oldest,
            slots=cluster.slots(queue),
            leases=channel.leases - elsewhere,
            threads=channel.threads,
        )
        if channel.is_full:
            wanted = min(wanted, channel.leases)
        priority = channel.window.priority()
        must_tell = again or last is None or last.wanted < wanted or last.priority < priority
        if must_tell:
            demand = Demand(
                wanted,
                channel.spec.limit,
                places.PYTHON,
                WIRE_VERSION,
                self._session.server_time,
                channel.spec.name,
                _caller(),
                channel.window.backlog_of(queue),
                int(self._session.codec),
                priority,
            )
            place = places.demand(queue, ref.session, ref.executor)
            frame = self._session.seal.seal(Direction.CONTROL, place, pack_demand(demand))
            self._session.store.ask(queue, ref, frame)
            channel.asked[queue] = demand
        if wake_ups is None:
            repeat_seconds = self._session.settings.demand_repeat_seconds
            wake_ups = channel.wake_ups[queue] = WakeUps(repeat_seconds)
        count = wake_ups.to_send(wanted=wanted, leases=channel.leases, now=now)
        if count:
            cluster.wake(queue, count, again=wake_ups.is_repeated)
        if must_tell:
            cluster.grow(wanted)  # Last: it may ask the server how large its node is.


def _caller() -> str:
    """This process, as operators know it."""
    return f"{platform.node()}:{os.getpid()}"
