"""What a session adds to the totals of its cluster: see `distexec.store.totals`."""

from collections import Counter
from typing import TYPE_CHECKING, Final

from distexec.scheduling.histogram import to_counts
from distexec.store.totals import Sender

if TYPE_CHECKING:
    from distexec.client.channel import Channel
    from distexec.client.session import Session

#: The counters of executors that become totals, under the same names.
COUNTED: Final = ("done", "failed", "cancelled", "retried", "lost")

#: Times between submit and start.
WAITS: Final = "wait"

#: Times between submit and the moment when a rate or concurrency limit let a call go.
LIMIT_WAITS: Final = "limit_wait"

#: Milliseconds in which a session slowed its executors down.
THROTTLED: Final = "throttled"


class Totals:
    """Used by the dispatcher's thread."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._sender = Sender()
        #: What was taken from each open channel.
        self._taken: dict[Channel, Counter[str]] = {}
        self._looked_at: float | None = None

    def look(self, now: float) -> None:
        """Send what happened since the last look, unless that was a moment ago."""
        beat = self._session.settings.beat_seconds
        elapsed = beat if self._looked_at is None else now - self._looked_at
        if elapsed < beat:
            return
        self._looked_at = now
        if self._session.pressure.reasons:
            self._sender.add({THROTTLED: round(1000 * elapsed)})
        for channel in self._session.channels():
            self._take(channel)
        self.send()

    def close(self, channel: "Channel") -> None:
        """Take what is left of a channel that closes."""
        self._take(channel)
        del self._taken[channel]

    def send(self) -> None:
        """Send what was taken."""
        self._sender.send(self._session.store.count)

    def _take(self, channel: "Channel") -> None:
        counters = channel.counters
        counts = Counter({name: getattr(counters, name) for name in COUNTED})
        counts.update(to_counts(WAITS, counters.waits.words))
        counts.update(to_counts(LIMIT_WAITS, channel.window.gates.waits.words))
        self._sender.add(counts - self._taken.get(channel, Counter()))
        self._taken[channel] = counts
