"""Chooses the queue of calls that may go to several: what is known of each, and of the call.

The policy is in `distexec.scheduling.placement`. Nodes and demands are looked at with each beat;
what this session has in flight is counted as of now.
"""

import random
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from distexec.client.calls import PendingCall
from distexec.client.depot import StoredValue
from distexec.client.nodes import Node
from distexec.errors import ClusterError
from distexec.scheduling.placement import (
    Estimate,
    QueueState,
    choose,
    estimate,
    is_worth_moving,
)
from distexec.scheduling.run_times import RunTime

if TYPE_CHECKING:
    from distexec.client.session import Session

#: Seconds after which a look at the cluster is too old to choose by.
STALE_SECONDS = 2.0

#: Values remembered at most for each queue: what its nodes have fetched.
MOST_FETCHED = 1024


class Placing:
    """One session's choice of queues. Looked after by the warden, asked by any thread."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._lock = threading.Lock()
        self._looked_at = 0.0
        #: The queues that calls have to choose from, as last seen.
        self._states: dict[str, QueueState] = {}
        #: Names of values that calls took to each queue, the oldest first.
        self._fetched: dict[str, dict[bytes, None]] = {}
        self._chance = random.Random()

    def watch(self, queues: Iterable[str]) -> None:
        """Know *queues* from now on: at their first call, and after a pause, that takes a look."""
        now = time.monotonic()
        new = [queue for queue in queues if queue not in self._states]
        if not new and now - self._looked_at < STALE_SECONDS:
            return
        with self._lock:
            for queue in new:
                self._states.setdefault(queue, QueueState(name=queue, nodes=(), waiting=0))
            try:
                self._look(now, self._session.warden.nodes())
            except ClusterError as error:
                self._session.lost_server(error)

    def look(self, now: float, nodes: Mapping[str, Node] | None) -> None:
        """Take the newest records of nodes, and demands of others; move what is stuck.

        Args:
            nodes: As just read; ``None`` where there are none to watch.

        Raises:
            ClusterError: The server does not answer.
        """
        if not self._states:
            return
        with self._lock:
            self._look(now, nodes)
        for channel in self._session.channels():
            entries = channel.window.movable(partial(self._is_stuck, now))
            if entries:
                self._session.recall(channel, entries)
                self._session.dispatch(channel, at_once=False)

    def _look(self, now: float, nodes: Mapping[str, Node] | None) -> None:
        session, clock = self._session, self._session.server_time
        known = [node for node in (nodes or {}).values() if node.is_known]
        for queue in list(self._states):
            serving = [node for node in known if queue in node.queues]
            others = sum(
                session.pressure.outstanding(queue, ref, frame)
                for ref, frame in session.store.demands(queue)
                if ref.session != session.name
            )
            states = tuple(node.state_at(clock) for node in serving)
            self._states[queue] = QueueState(name=queue, nodes=states, waiting=others)
        self._looked_at = now

    def choose(
        self, call: PendingCall, run_times: Mapping[str, RunTime | None], cpu_share: float
    ) -> tuple[Estimate, ...]:
        """Return what *call* may expect of each of its queues, the chosen one first.

        Args:
            run_times: How long its function's calls last in each queue, on an idle machine.
            cpu_share: Processor time over wall time of the executor's calls, where that is not
                known.
        """
        estimates = [
            self._estimate(queue, call, run_times.get(queue), cpu_share)
            for queue in call.place.queues
        ]
        chosen = choose(estimates, self._chance)
        return (chosen, *(each for each in estimates if each is not chosen))

    def note_fetched(self, queue: str, values: Iterable[StoredValue]) -> None:
        """Note that nodes of *queue* fetch *values*: calls that use them are welcome there."""
        if queue in self._states:
            fetched = self._fetched.setdefault(queue, {})
            fetched.update(dict.fromkeys(value.ref.name for value in values))
            while len(fetched) > MOST_FETCHED:
                del fetched[next(iter(fetched))]

    def _estimate(
        self, queue: str, call: PendingCall, run_time: RunTime | None, cpu_share: float
    ) -> Estimate:
        fetched = self._fetched.get(queue, {})
        values = sum(value.ref.size for value in call.values if value.ref.name not in fetched)
        return estimate(
            self.state(queue),
            run_seconds=None if run_time is None else run_time.mean * call.inputs,
            cpu_share=cpu_share if run_time is None else run_time.cpu_share,
            size=len(call.payload) + values,
        )

    def state(self, queue: str) -> QueueState:
        """A queue as it is by now: what others have there, and what we sent."""
        state = self._states.get(queue) or QueueState(name=queue, nodes=(), waiting=0)
        ours = sum(channel.window.sent_to(queue) for channel in self._session.channels())
        # Slots that serve run some of them.
        busy = sum(node.busy for node in state.nodes)
        return state.with_waiting(max(0, state.waiting + ours - busy))

    def slowdown(self, queue: str, cpu_share: float) -> float:
        """By how much longer calls last in *queue* now than on idle machines."""
        state = self._states.get(queue)
        if state is None or not state.nodes:
            return 1.0
        return estimate(state, run_seconds=1.0, cpu_share=cpu_share).slowdown

    def _is_stuck(self, now: float, queue: str, choice: tuple[str, ...], since: float) -> bool:
        """Whether calls that were sent to *queue*, and not taken, would do much better elsewhere.

        Args:
            since: When the oldest of them was sent.
        """
        here = estimate(self.state(queue), run_seconds=None)
        elsewhere = [
            estimate(self.state(other), run_seconds=None) for other in choice if other != queue
        ]
        return is_worth_moving(here, elsewhere, waited=now - since)
