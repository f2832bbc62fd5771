"""`distexec.store.port.LimitStore` on Redis or Valkey."""

from collections.abc import Iterable

from distexec.scheduling.permits import PATIENCE, Permits
from distexec.scheduling.rate_limits import HORIZON, MICROSECONDS, MOST_AHEAD, Grants
from distexec.settings import Settings
from distexec.store import keys
from distexec.store.link import Command, Link, script
from distexec.store.port import ExecutorRef


class RedisLimitStore:
    """A cluster's limits, over a connection that somebody else opens and closes."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self._link = link
        self._expiry = round(settings.permit_expiry_seconds * MICROSECONDS)

    def grant(
        self, key: str, *, interval: int, asked: int, unused: tuple[int, int] = (0, 0)
    ) -> Grants:
        arguments = interval, asked, HORIZON, MOST_AHEAD, *unused
        return Grants(*self._link.call(*script("grant").call([keys.rate(key)], *arguments)))

    def share_out(
        self, key: str, ref: ExecutorRef, *, limit: int, held: int, wanted: int
    ) -> Permits:
        who = f"{ref.session} {ref.executor}"
        arguments = who, limit, held, wanted, self._expiry, PATIENCE
        answer = self._link.call(*script("permits").call([keys.permits(key)], *arguments))
        _, granted, *others = answer
        return Permits(granted, tuple(name.decode() for name in others))

    def nudge(self, sessions: Iterable[str]) -> None:
        # Not where there is no stream: its session is gone, and nobody would remove a new one.
        nudges: list[Command] = [
            ("XADD", keys.replies(session), "NOMKSTREAM", "*", "f", "") for session in sessions
        ]
        self._link.run(*nudges)  # An error is that session's to find.
