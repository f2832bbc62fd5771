"""How full the cluster is, as a session sees it: what makes its executors slow down."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from distexec.client.channel import Channel
from distexec.client.nodes import Node
from distexec.errors import DistexecError
from distexec.scheduling.placement import UNKNOWN_RUN_SECONDS
from distexec.scheduling.throttle import Throttle, figures_of
from distexec.store.port import ExecutorRef, Frame
from distexec.wire import places
from distexec.wire.seal import Direction

if TYPE_CHECKING:
    from distexec.client.session import Session

logger = logging.getLogger(__name__)

#: Seconds between two looks: nodes report once in this time.
LOOK_SECONDS: Final = 1.0


class Pressure:
    """One session's figures of its cluster. Looked after by the warden, read by any thread."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._throttle = Throttle()
        self._due = 0.0
        #: Which figures are too high; empty if none.
        self.reasons: tuple[str, ...] = ()

    def look(self, now: float, busy: Sequence[Channel], nodes: Mapping[str, Node] | None) -> None:
        """Take the newest figures, unless the last ones are young.

        Args:
            busy: The executors with something to do.
            nodes: The nodes that beat, as just read; ``None`` where there are none to watch.

        Raises:
            ClusterError: The server does not answer.
        """
        if now < self._due:
            return
        self._due = now + LOOK_SECONDS
        known = [node for node in (nodes or {}).values() if node.is_known]
        figures = figures_of(
            (node.load for node in known),
            backlog_seconds=self._backlog_seconds(busy, known),
            server_memory=self._session.store.server_memory(),
        )
        self._throttle.update(figures)
        self._note(self._throttle.reasons)

    def ease(self) -> None:
        """Forget what was seen: there is nothing to slow down, and nobody looks."""
        if self.reasons:
            self._throttle.update({})
            self._note(())

    def _note(self, reasons: tuple[str, ...]) -> None:
        before, self.reasons = self.reasons, reasons
        if before == reasons:
            return
        if reasons:
            logger.info("%s is full: %s", self._session.cluster, ", ".join(reasons))
        for channel in self._session.channels():
            channel.notice_room()

    def _backlog_seconds(self, busy: Iterable[Channel], nodes: Iterable[Node]) -> float:
        """How long the calls of the fullest queue will last, of everybody who asks there."""
        longest = 0.0
        for queue in {queue for channel in busy for queue in channel.window.queues()}:
            mine = [channel for channel in busy if queue in channel.window.queues()]
            means = [mean for channel in mine if (mean := channel.window.learned.mean) is not None]
            mean = sum(means) / len(means) if means else UNKNOWN_RUN_SECONDS
            slots = sum(node.slots for node in nodes if queue in node.queues)
            # Calls that wait share a slot, as far as we have seen it of our own.
            together = max(slots, sum(channel.threads for channel in mine), 1)
            calls = sum(
                self.outstanding(queue, ref, frame)
                for ref, frame in self._session.store.demands(queue)
            )
            longest = max(longest, calls * mean / together)
        return longest

    def outstanding(self, queue: str, ref: ExecutorRef, frame: Frame) -> int:
        """How many calls an executor has for *queue*, by its demand; 0 if it asks no more."""
        place = places.demand(queue, ref.session, ref.executor)
        try:
            demand = json.loads(bytes(self._session.seal.open(Direction.CONTROL, place, frame)))
            age = abs(self._session.server_time - demand["at"])
            is_young = age <= self._session.settings.session_expiry_seconds
            return int(demand["outstanding"]) if is_young else 0
        except (DistexecError, ValueError, KeyError, TypeError):
            return 0
