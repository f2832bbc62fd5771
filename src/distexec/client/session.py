"""The caller's side of one cluster in one process, shared by its executors."""

import contextlib
import itertools
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable

from distexec.client.callbacks import CallbackRunner
from distexec.client.calls import PendingCall
from distexec.client.channel import Channel
from distexec.client.cluster import Cluster
from distexec.client.collector import Collector
from distexec.client.depot import Depot
from distexec.client.dispatcher import Dispatcher
from distexec.client.history import History
from distexec.client.limiter import Limiter
from distexec.client.losses import Losses
from distexec.client.mender import Mender
from distexec.client.nodes import Node
from distexec.client.notices import Notices
from distexec.client.outcomes import settle
from distexec.client.placing import Placing
from distexec.client.pressure import Pressure
from distexec.client.totals import Totals
from distexec.client.warden import Warden
from distexec.errors import ClusterError, ValueLost, WorkerLost
from distexec.store.port import ExecutorRef, SessionUnknown
from distexec.wire import places
from distexec.wire.compression import Codec, best
from distexec.wire.records import ExecutorSpec
from distexec.wire.refusals import Refusals
from distexec.wire.seal import Direction
from distexec.wire.values import pack_result

logger = logging.getLogger(__name__)


class Session:
    """Owns the connections and threads that the executors of one cluster share.

    Args:
        forget: Called when the session has closed.
    """

    def __init__(self, cluster: Cluster, forget: "Callable[[Session], None]") -> None:
        self.cluster = cluster
        self._forget = forget
        self.name = secrets.token_hex(8)
        self.seal, self.settings = cluster.seal, cluster.settings
        self.callbacks = CallbackRunner()
        #: What was found on the server and is not of this cluster, or not for this session.
        self.refusals = Refusals()
        self.store = cluster.open(self.name)
        self.depot = Depot(
            self.store, self.seal, self.name, self._notify, lambda: self.warden.keep_alive()
        )
        self._lock = threading.Lock()
        self._channels: dict[str, Channel] = {}
        self._retired: list[Channel] = []
        #: Channels whose keys were lost: everything that they sent is to be sent again.
        self._lost: set[Channel] = set()
        #: The server's clock at the time zero of ours.
        self._clock_offset = 0.0
        self._executors = itertools.count(1)
        self._closed = False
        self.losses = Losses(self)
        self.mender = Mender(self)
        self.notices = Notices(self)
        self.totals = Totals(self)
        self.pressure = Pressure(self)
        self.limiter = Limiter(self)
        self.warden = Warden(self)
        self.placing = Placing(self)
        self.history = History(self)
        self.dispatcher = Dispatcher(self, self.warden.look_after)
        self._collector = Collector(self)
        try:
            self.set_clock(self.store.open())
            self.history.read()
            self.warden.check_nodes()
            self.depot.codec = self.codec = self._choose_codec()
        except BaseException:
            self.depot.close()
            with contextlib.suppress(ClusterError):  # Most likely the same one again.
                self.store.close()
            cluster.release()
            raise
        self.dispatcher.start()
        self._collector.start()

    def _choose_codec(self) -> Codec:
        """What compresses frames for nodes elsewhere: the best that all of them have."""
        if not self.cluster.is_distant:
            return Codec.NONE
        nodes = self.warden.nodes() or {}
        return min((best(), *(node.codec for node in nodes.values() or [Node(name="")])))

    def _notify(self) -> None:
        self.dispatcher.notify()

    # Channels come and go.

    def add_channel(self, spec: ExecutorSpec) -> Channel | None:
        """Let an executor in; ``None`` if the session has just closed."""
        with self._lock:
            if self._closed:
                return None
            ref = ExecutorRef(self.name, str(next(self._executors)))
            spec = spec._replace(codec=int(self.codec))
            channel = self._channels[ref.executor] = Channel(self, ref, spec)
        try:
            self.put_spec(channel)
        except BaseException:
            channel.shut_down()
            raise
        return channel

    def put_spec(self, channel: Channel) -> None:
        """Tell the store what leases must know of the executor."""
        ref = channel.ref
        place = places.spec(ref.session, ref.executor)
        self.store.put_spec(ref, self.seal.seal(Direction.STORED, place, pack_result(channel.spec)))

    def channel(self, executor: str) -> Channel | None:
        """The channel of an executor, while it is open."""
        return self._channels.get(executor)

    def channels(self) -> list[Channel]:
        """Every open channel."""
        with self._lock:
            return list(self._channels.values())

    def retire(self, channel: Channel) -> None:
        """Close *channel*, soon, on the dispatcher's thread; with the last one, the session."""
        with self._lock:
            if channel not in self._retired:
                self._retired.append(channel)
        self.dispatcher.notify()

    def close_retired(self) -> bool:
        """Close the channels that retired; True if the session closed with the last one."""
        with self._lock:
            retired, self._retired = self._retired, []
            for channel in retired:
                self._channels.pop(channel.ref.executor, None)
                self.totals.close(channel)
            last = bool(retired) and not self._channels
            self._closed = self._closed or last
        for channel in retired:
            self.history.take(channel.window.learned)
            try:
                self.limiter.leave(channel)
                self.store.close_executor(channel.ref)
            except ClusterError as error:
                logger.debug("The keys of an executor are left to expire: %s", error)
        if last:
            self._close()
        for channel in retired:
            channel.closed()
        return last

    def _close(self) -> None:
        self._collector.stop()
        self.dispatcher.stop()
        self.callbacks.close()
        self.depot.close()
        self.history.save(is_last=True)
        self.totals.send()
        try:
            self.store.close()
        except ClusterError as error:
            logger.debug("The keys of a session are left to expire: %s", error)
        self.cluster.release()
        self._forget(self)

    def join_if_closed(self) -> None:
        """Wait for the threads of a session that has closed."""
        if self._closed:
            self.dispatcher.stop()

    def set_clock(self, server_time: float) -> None:
        """Note what the server's clock shows now, in seconds."""
        self._clock_offset = server_time - time.monotonic()

    @property
    def server_time(self) -> float:
        """What the server's clock shows, as far as we know; in seconds."""
        return time.monotonic() + self._clock_offset

    # The ring.

    def dispatch(self, channel: Channel, *, at_once: bool) -> None:
        """Send what *channel* has ready: from this thread if *at_once*, else soon."""
        if channel.window.gates:
            self.dispatcher.notify()
        if at_once:
            self.dispatcher.send_now(channel)
            if self.cluster.is_home:
                # The warden looks soon whether anybody takes it.
                self.dispatcher.notify()
        else:
            self.dispatcher.notify(channel)

    def look_soon(self) -> None:
        """Let the warden look, since callbacks may be stuck behind one that waits."""
        self.warden.callbacks_waiting = True
        self.dispatcher.notify()

    def recall(self, channel: Channel, entries: Iterable[tuple[str, int]]) -> None:
        """Take back the entries that no lease holds: their calls wait again."""
        # Entries that are being put are recalled after they are there.
        with channel.sending:
            self.recall_sent(channel, entries)

    def recall_sent(self, channel: Channel, entries: Iterable[tuple[str, int]]) -> None:
        """As `recall`; the caller holds ``channel.sending``, and all was put."""
        queues: dict[str, list[int]] = {}
        for queue, entry in entries:
            queues.setdefault(queue, []).append(entry)
        for queue, numbers in queues.items():
            try:
                recalled = self.store.recall(channel.ref, queue, numbers)
            except (ClusterError, SessionUnknown) as error:
                self.lost_server(error)
                continue
            channel.window.take_back((queue, entry) for entry in recalled)

    def resend_value(self, channel: Channel, call: PendingCall, name: bytes) -> None:
        """Send a value again that a node did not find, or fail the call that needs it."""
        if not self.depot.miss(name) and channel.window.remove(call):
            self.fail(channel, call, ValueLost(call.label, name.hex()))

    def fail(self, channel: Channel, call: PendingCall, error: BaseException) -> None:
        """Settle a call, which has left its window, with *error*."""
        channel.counters.failed += 1
        call.drop_payload()
        channel.settled(settle(channel, call.future, error=error))

    def fail_all(self, channel: Channel, error: BaseException) -> None:
        """Break an executor: its calls end with *error*, and it takes no more."""
        for call in channel.break_with(error):
            self.fail(channel, call, error)

    def end_workers(self, channel: Channel, signal_name: str) -> None:
        """End the processes that serve an executor, and give up its calls."""
        pids: dict[str, list[int]] = {}
        for lease in self.store.leases(channel.ref):
            pids.setdefault(lease.node, []).append(lease.pid)
        for node, children in pids.items():
            self.order(node, do="kill", pids=children, signal=signal_name)
        error = WorkerLost(
            "every call of the executor", ("its workers were ended by the program itself",)
        )
        self.fail_all(channel, error)

    def order(self, node: str, **command: object) -> None:
        """Give *node* a signed command.

        Raises:
            ClusterError: The server does not answer.
        """
        body = json.dumps({**command, "at": self.store.beat([])}).encode()
        self.store.command(node, self.seal.seal(Direction.CONTROL, places.command(node), body))

    def give_up(self, error: Exception) -> None:
        """Fail every call: the session came across something that it does not understand."""
        logger.error("The session of %s gives up its calls", self.cluster, exc_info=error)
        failure = ClusterError(f"distexec failed inside, please report it: {error!r}")
        failure.__cause__ = error
        for channel in self.channels():
            self.fail_all(channel, failure)

    def lost_server(self, error: Exception) -> None:
        """Note that the server does not answer, or does not know this session."""
        self.mender.lost_server(error)
        self.dispatcher.notify()

    def restart(self) -> None:
        """Make this session known again; what the server forgot of it is sent again."""
        lost = [channel for channel in self.channels() if not self.store.knows(channel.ref)]
        for channel in lost:
            # What is left of it belongs to another past: nothing of that may be heard.
            with channel.sending:
                self.store.close_executor(channel.ref)
        self.set_clock(self.store.open())
        self.depot.server_was_emptied()
        again = sum(map(self._begin_anew, lost))
        # It was emptied, or this process slept for longer than its keys live.
        logger.warning(
            "The server of %s had forgotten this session, and %s: %d calls are sent again",
            self.cluster,
            f"{len(lost)} of its executors" if lost else "none of its executors",
            again,
        )

    def repair(self) -> None:
        """Replace what others wrote over; what was lost with it is sent again.

        Raises:
            ClusterError: The server does not answer.
        """
        damage = self.store.audit([channel.ref for channel in self.channels()])
        for line in damage.keys:
            self.refusals.note("A key of this session", line)
        for channel in self.channels():
            if channel.ref in damage.functions:
                channel.functions.clear()
            if channel.ref not in damage.rebuild:
                continue
            try:
                self._begin_anew(channel)
            except ClusterError:
                self.mender.lost_server(SessionUnknown(self.name))  # So that it is not forgotten.
                raise

    def _begin_anew(self, channel: Channel) -> int:
        """Make an executor known again, and send all of it again; return how many calls."""
        # Any thread may be about to send: what it sends must be of the old or of the new.
        with channel.sending:
            self.store.close_executor(channel.ref)  # What is left of it would run beside it.
            channel.outgoing.clear()
            channel.functions.clear()
            channel.asked.clear()
            channel.leases = 0
            self.put_spec(channel)
            with channel.window.held():
                calls = channel.window.take_back(channel.window.entries())
                self.losses.fail_uncertain(channel, calls, "the server lost what it knew of it")
        again = sum(call.is_here for call in calls)
        self.dispatch(channel, at_once=False)
        return again
