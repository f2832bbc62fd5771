"""Looks after a session by the clock: beats, lost leases, repeated demand."""

import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from distexec.client.channel import Channel
from distexec.client.losses import HEARING_SECONDS
from distexec.client.mender import RETRY_SECONDS
from distexec.client.nodes import Node, read_node
from distexec.errors import ClusterError, ClusterMismatch
from distexec.store.port import KeyDamaged, LeaseRecord, SessionUnknown
from distexec.wire import places
from distexec.wire.records import WIRE_VERSION

if TYPE_CHECKING:
    from distexec.client.session import Session

logger = logging.getLogger(__name__)

#: Seconds between two looks at callbacks that wait behind one another.
CALLBACK_LOOK_SECONDS = 0.01

#: Seconds after which a process that is itself a worker runs its own unstarted sub-calls.
NESTED_SECONDS = 0.005

#: The same where each wants a process for itself: time for another slot to come free.
NESTED_ALONE_SECONDS = 1.0

#: Seconds that a shutdown which cancels waits for calls that were sent to start.
UNSTARTED_SECONDS = 1.0


class Warden:
    """One session's look at the clock, on the dispatcher's thread."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._beat_due = 0.0
        #: Set by the collector when it hands a callback over.
        self.callbacks_waiting = False
        #: Since when a node's record cannot be read: it gets as long as a silent one.
        self._unknown_since: dict[str, float] = {}
        #: Slots of this process that serve its own executors, by channel and queue.
        self._local_slots: dict[tuple[Channel, str], int] = {}
        self._lock = threading.Lock()

    def look_after(self) -> float:
        """Do what is due.

        Returns:
            Seconds until the next look.
        """
        now = time.monotonic()
        session = self._session
        if session.close_retired():
            return session.settings.beat_seconds
        pause = min(self._help_nested(now), self._wake_rested(now))
        if session.losses.look():
            pause = min(pause, HEARING_SECONDS)
        if self.callbacks_waiting:
            self.callbacks_waiting = session.callbacks.help_if_stuck()
            pause = min(pause, CALLBACK_LOOK_SECONDS)
        if session.mender.is_away:
            session.mender.mend()
            return min(pause, RETRY_SECONDS)
        session.notices.obey()
        try:
            session.depot.look_after(now)
            pause = min(pause, session.limiter.look(now))
            if now >= self._beat_due:
                self._beat_due = now + min(
                    session.settings.beat_seconds, session.settings.demand_repeat_seconds
                )
                self._beat(now)
                session.totals.look(now)
        except (ClusterError, SessionUnknown) as error:
            session.mender.lost_server(error)
            return 0.0
        return min(pause, max(0.0, self._beat_due - time.monotonic()))

    # Beats.

    def keep_alive(self) -> None:
        """Say that the session lives, if that is due: for whoever keeps this thread busy."""
        now = time.monotonic()
        if now >= self._beat_due + self._session.settings.beat_seconds:
            self._beat_due = now
            self._session.store.beat([channel.ref for channel in self._session.channels()])

    def _beat(self, now: float) -> None:
        session = self._session
        channels = session.channels()
        session.set_clock(session.store.beat([channel.ref for channel in channels]))
        session.repair()
        session.mender.find_lost()
        busy = []
        for channel in channels:
            if channel.window.outstanding:
                busy.append(channel)
            elif channel.asked:
                session.dispatcher.withdraw(channel)
        if not busy:
            session.pressure.ease()
            return
        held = [session.store.leases(channel.ref) for channel in busy]
        # Read after the leases: one that is new must not be looked for among older nodes.
        nodes = self.nodes()
        for channel, leases in zip(busy, held, strict=True):
            channel.leases = len(leases)
            channel.leases_by_queue = Counter(lease.queue for lease in leases)
            channel.threads = sum(lease.threads for lease in leases)
            if nodes is not None and now > session.mender.judge_after:
                self._judge(channel, leases, nodes)
            with channel.sending:
                for queue in channel.window.queues():
                    session.dispatcher.ask(channel, queue, again=True)
            session.dispatch(channel, at_once=False)
            since = channel.cancelling_since
            if since is not None and now - since > UNSTARTED_SECONDS:
                channel.cancel_younger(0)
            if nodes is not None and not channel.leases:
                self._warn_if_deserted(channel, nodes, now)
        session.pressure.look(now, busy, nodes)
        session.placing.look(now, nodes)
        session.history.save()

    def _judge(self, channel: Channel, leases: list[LeaseRecord], nodes: dict[str, Node]) -> None:
        """Give up the leases whose node is silent, and those whose process is gone.

        The latter at the second look: their node has more to say about it, and is about to.
        """
        missed, channel.missed = channel.missed, set()
        for lease in leases:
            node = nodes.get(lease.node)
            if node is not None and not node.is_known:
                if self._may_return(node, time.monotonic()):
                    continue
                node = None
            place = f"node {lease.node}, process {lease.pid}"
            if not lease.node:
                story = "the lease ended without answering for all that it held"
            elif node is None:
                story = f"{place}: the node fell silent"
            elif lease.pid not in node.children and node.beat_at > lease.admitted_at:
                story = f"{place}: the process is gone"
            else:
                continue
            if (lease.node and node is None) or lease.lease in missed:
                self._session.losses.bury_unheard(channel, lease.lease, story)
            else:
                channel.missed.add(lease.lease)

    def nodes(self) -> dict[str, Node] | None:
        """The nodes that beat, by name; ``None`` where there are none to watch."""
        if not self._session.cluster.has_nodes:
            return None
        session = self._session
        try:
            statuses = session.store.nodes()
        except KeyDamaged as error:
            session.refusals.note("The list of nodes", error)
            return None
        found = {}
        for status in statuses:
            node = read_node(status, session.seal)
            if node is None:
                node = Node(name=status.name)
                if node.name not in self._unknown_since:
                    session.refusals.note("A node's record", f"that of {node.name!r} is none")
            if not node.is_known:
                # Whose it is, and whether it lives, cannot be read. It writes another one soon.
                self._unknown_since.setdefault(node.name, time.monotonic())
            else:
                self._unknown_since.pop(node.name, None)
            found[node.name] = node
        return found

    def _may_return(self, node: Node, now: float) -> bool:
        """Whether a node whose record cannot be read has time left to write a better one."""
        since = self._unknown_since.get(node.name, now)
        return now - since < self._session.settings.node_expiry_seconds

    def check_nodes(self) -> None:
        """Refuse a cluster none of whose nodes fits this caller.

        Raises:
            ClusterMismatch: Naming both sides.
        """
        nodes = self.nodes()
        if nodes:
            misfits = [self._misfit(node) for node in nodes.values()]
            if all(misfits):
                raise ClusterMismatch("; ".join(misfit for misfit in misfits if misfit))

    def _misfit(self, node: Node) -> str | None:
        """Why *node* and this caller do not fit; ``None`` if they do."""
        ours = f"this caller has %s, node {node.name!r} on {node.host} has %s"
        if not node.key:
            return None
        if node.python != places.PYTHON:
            return ours % (f"Python {places.PYTHON}", node.python)
        if node.wire != WIRE_VERSION:
            return ours % (f"wire version {WIRE_VERSION}", node.wire)
        if not node.is_known and node.key != self._session.seal.key_id.hex():
            return (
                f"this caller signs with the secret {self._session.seal.key_id.hex()}, "
                f"node {node.name!r} on {node.host} with {node.key}: give both the same "
                "DISTEXEC_SECRET or DISTEXEC_SECRET_FILE"
            )
        return None

    def _warn_if_deserted(self, channel: Channel, nodes: dict[str, Node], now: float) -> None:
        """Tell once that nobody serves a queue that calls wait for; fail them if nobody can."""
        misfits = [self._misfit(node) for node in nodes.values()]
        unknown = [node for node in nodes.values() if not node.is_known]
        if misfits and all(misfits) and not any(self._may_return(node, now) for node in unknown):
            error = ClusterMismatch("; ".join(misfit for misfit in misfits if misfit))
            self._session.fail_all(channel, error)
            return
        oldest = channel.window.oldest_unstarted()
        patience = self._session.settings.no_worker_warning_seconds
        if channel.warned or oldest is None or now - oldest < patience:
            return
        for queue in channel.window.queues():
            advice = self._advice(queue, nodes)
            if advice is not None:
                channel.warned = True
                logger.warning(
                    "%d calls wait for a worker of queue %r, and no node of %s serves it: %s",
                    channel.window.outstanding,
                    queue,
                    self._session.cluster,
                    advice,
                )

    def _advice(self, queue: str, nodes: dict[str, Node]) -> str | None:
        """What a person can do about a queue on which nobody serves our calls."""
        cluster = self._session.cluster
        serving = [node for node in nodes.values() if queue in node.queues]
        if not serving:
            return cluster.advice(queue)
        if any(node.broker == cluster.broker for node in serving):
            return None  # They are busy.
        theirs, ours = (name or "that server" for name in (serving[0].broker, cluster.broker))
        return (
            f"node {serving[0].name!r} takes its wake-ups from {theirs}, and this caller sends "
            f"them to {ours}: DISTEXEC_BROKER must be the URL of the nodes' broker"
        )

    # Retries.

    def _wake_rested(self, now: float) -> float:
        """Send the calls on whose next attempt is due.

        Returns:
            Seconds until the next look is needed.
        """
        session = self._session
        pause = session.settings.beat_seconds
        for channel in session.channels():
            woken, due = channel.window.wake(now)
            if woken:
                session.dispatch(channel, at_once=False)
            if due is not None:
                pause = min(pause, max(0.0, due - now))
        return pause

    # Nested calls.

    def _help_nested(self, now: float) -> float:
        """In a worker: run sub-calls here that no other lease takes, so that none can deadlock.

        Returns:
            Seconds until the next look is needed.
        """
        session = self._session
        if not session.cluster.is_home:
            return session.settings.beat_seconds
        pause = session.settings.beat_seconds
        for channel in session.channels():
            oldest = channel.window.oldest_unstarted()
            if oldest is None or not channel.window.in_flight:
                continue
            pause = NESTED_SECONDS
            window = channel.window
            all_alone = window.alone == window.outstanding
            if now - oldest >= (NESTED_ALONE_SECONDS if all_alone else NESTED_SECONDS):
                self._add_local_slot(channel)
        return pause

    def _add_local_slot(self, channel: Channel) -> None:
        limit = channel.spec.limit + channel.window.parents()
        for queue in channel.window.queues():
            with self._lock:
                if self._local_slots.get((channel, queue), 0) >= limit:
                    continue
                self._local_slots[channel, queue] = self._local_slots.get((channel, queue), 0) + 1
            threading.Thread(
                target=self._serve_here,
                args=(channel, queue, limit),
                name="distexec-nested",
                daemon=True,
            ).start()

    def _serve_here(self, channel: Channel, queue: str, limit: int) -> None:
        counted = iter([True])

        def uncount() -> None:
            """Let another slot have the place of this one, once."""
            with self._lock:
                if next(counted, False):
                    self._local_slots[channel, queue] -= 1
                    if not self._local_slots[channel, queue]:
                        del self._local_slots[channel, queue]

        try:
            self._session.cluster.serve_here(channel.ref, queue, limit, uncount)
        finally:
            uncount()
