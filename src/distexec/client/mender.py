"""Brings a session through the outages of its server: waits, begins anew, finds what was lost."""

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from distexec.client.channel import Channel
from distexec.errors import ClusterError, ClusterUnavailable
from distexec.store.caller_port import ReplyMark
from distexec.store.port import SessionUnknown

if TYPE_CHECKING:
    from distexec.client.session import Session

logger = logging.getLogger(__name__)

#: Seconds between two tries to reach a server that went away.
RETRY_SECONDS = 0.2


class _Doubt(NamedTuple):
    """Entries of a call stream that are not there: lost, unless a reply on its way answers them."""

    channel: Channel
    queue: str
    entries: list[int]
    #: The last of those replies.
    mark: ReplyMark


class Mender:
    """One session's outages. All but `lost_server` runs on the dispatcher's thread."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._lock = threading.Lock()
        self._since = 0.0
        self._outage: Exception | None = None
        self._is_forgotten = False
        #: Nodes and leases are not judged before this instant: after an outage they beat first.
        self.judge_after = 0.0
        #: How often the connection had been opened when the entries were counted last.
        self._counted_at = 1
        #: When they are counted even if nothing seems to have happened.
        self._count_due = 0.0
        self._doubts: list[_Doubt] = []

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer when last asked, or did not know this session."""
        return self._outage is not None

    def lost_server(self, error: Exception) -> None:
        """Note that the server does not answer (`ClusterError`) or was emptied."""
        with self._lock:
            if self._outage is None:
                self._since = time.monotonic()
                logger.info("The server of %s is away: %s", self._session.cluster, error)
            self._outage = error
            self._is_forgotten = self._is_forgotten or isinstance(error, SessionUnknown)

    def mend(self) -> None:
        """Try to go on; give up the calls when the server stays away."""
        session = self._session
        try:
            if not self._is_forgotten:
                session.store.beat([channel.ref for channel in session.channels()])
                session.repair()
            else:
                session.restart()
            for channel in session.channels():
                channel.send_handles()
        except (ClusterError, SessionUnknown) as error:
            self.lost_server(error)
            self._give_up_if_hopeless(error)
            return
        settings = session.settings
        self.judge_after = (
            time.monotonic() + settings.node_expiry_seconds + settings.connect_seconds
        )
        with self._lock:
            self._outage, self._is_forgotten = None, False
        logger.info("The server of %s answers again", session.cluster)
        for channel in session.channels():
            session.dispatch(channel, at_once=False)

    def _give_up_if_hopeless(self, outage: Exception) -> None:
        session = self._session
        away = time.monotonic() - self._since
        failure = session.cluster.failure()
        if failure is None and away < session.settings.unavailable_seconds:
            return
        error = ClusterUnavailable(
            failure
            or f"the server of {session.cluster} did not answer for {away:.0f} s "
            f"(DISTEXEC_UNAVAILABLE_SECONDS): {outage}"
        )
        error.__cause__ = outage
        for channel in session.channels():
            session.fail_all(channel, error)

    # What the server lost without saying so.

    def find_lost(self) -> None:
        """Send again what the server does not have, though it took it. Called with each beat.

        A restored or replaced server may lack the last entries, and the answer to a recall may be
        lost with its connection: whenever there is a new one, the entries are counted. Now and then
        they are in any case: a lease puts an entry aside that it cannot read, and we such a reply.

        Raises:
            ClusterError: The server does not answer.
        """
        session = self._session
        doubts, self._doubts = self._doubts, []
        for doubt in doubts:
            if session.store.has_collected(doubt.mark):
                lost = [(doubt.queue, entry) for entry in doubt.entries]
                with doubt.channel.window.held():
                    calls = doubt.channel.window.take_back(lost)
                    session.losses.fail_uncertain(doubt.channel, calls, "the server lost it")
                if calls:
                    logger.warning("%d calls are sent again: the server lost them", len(calls))
                    session.dispatch(doubt.channel, at_once=False)
            else:
                self._doubts.append(doubt)
        opened = session.store.connections
        now = time.monotonic()
        if opened == self._counted_at and now < self._count_due:
            return
        for channel in session.channels():
            # Held, so that every entry in flight was put, and none is on its way.
            with channel.sending:
                if channel.outgoing:
                    return  # Not before they are put: the dispatcher is about to.
                for queue, entries in _by_queue(channel).items():
                    missing, mark = session.store.census(channel.ref, queue, entries)
                    if missing:
                        self._doubts.append(_Doubt(channel, queue, missing, mark))
        self._counted_at = opened
        self._count_due = now + session.settings.node_expiry_seconds


def _by_queue(channel: Channel) -> dict[str, list[int]]:
    queues: dict[str, list[int]] = {}
    for queue, entry in channel.window.entries():
        queues.setdefault(queue, []).append(entry)
    return queues
