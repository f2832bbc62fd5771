"""Asks the server what the gates of a session's executors want to know, and brings the answers."""

import time
from typing import TYPE_CHECKING

from distexec.client.channel import Channel

if TYPE_CHECKING:
    from distexec.client.session import Session


class Limiter:
    """One session's limits. All but `nudge` runs on the dispatcher's thread."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        #: Whether somebody says that there may be a permit for one of us.
        self._nudged = False

    def nudge(self) -> None:
        """Look soon, if calls wait for a limit: there may be a permit for them."""
        if any(len(channel.window.gates) for channel in self._session.channels()):
            self._nudged = True
            self._session.dispatcher.notify()

    def look(self, now: float) -> float:
        """Ask what is to be asked, and let the calls go that may.

        Returns:
            Seconds until the next look.

        Raises:
            ClusterError: The server does not answer.
        """
        pause = self._session.settings.beat_seconds
        nudged, self._nudged = self._nudged, False
        for channel in self._session.channels():
            if channel.window.gates:
                self._ask(channel, now, nudged)
                due = channel.window.gates.pass_due(time.monotonic())
                if channel.window.has_waiting:
                    self._session.dispatcher.notify(channel)
                if due is not None:
                    pause = min(pause, max(0.0, due - time.monotonic()))
        return pause

    def _ask(self, channel: Channel, now: float, nudged: bool) -> None:
        gates, limits = channel.window.gates, self._session.store.limits
        for permit_gate, asked in gates.permit_questions(now, nudged=nudged):
            permits = limits.share_out(
                permit_gate.key, channel.ref, limit=permit_gate.most, **asked._asdict()
            )
            gates.note_permits(permit_gate, asked, permits, time.monotonic())
            self._tell(permits.next_in_line)
        for rate_gate, question in gates.rate_questions(now):
            grants = limits.grant(rate_gate.key, interval=rate_gate.interval, **question._asdict())
            gates.note_grants(rate_gate, grants, time.monotonic())

    def _tell(self, executors: tuple[str, ...]) -> None:
        """Let those know who may have a permit now."""
        sessions = {executor.partition(" ")[0] for executor in executors}
        if self._session.name in sessions:
            sessions.remove(self._session.name)
            self.nudge()
        if sessions:
            self._session.store.limits.nudge(sessions)

    def leave(self, channel: Channel) -> None:
        """Give everything back that an executor has, which has no calls any more.

        Raises:
            ClusterError: The server does not answer.
        """
        if channel.window.gates:
            self._ask(channel, time.monotonic(), nudged=False)
