"""`distexec.store.port.LimitStore` in memory."""

import threading
import time
from collections.abc import Callable, Iterable

from distexec.scheduling.permits import Permits, Share, share_out
from distexec.scheduling.rate_limits import MICROSECONDS, Grants, RateState, grant
from distexec.settings import Settings
from distexec.store.port import ExecutorRef


class MemoryLimitStore:
    """The limits of a process.

    Args:
        nudge: Makes a session's `collect` return.
    """

    def __init__(self, settings: Settings, nudge: Callable[[Iterable[str]], None]) -> None:
        self._expiry = round(settings.permit_expiry_seconds * MICROSECONDS)
        self.nudge = nudge
        self._lock = threading.Lock()
        self._rates: dict[str, RateState] = {}
        self._shares: dict[str, dict[str, Share]] = {}

    def grant(
        self, key: str, *, interval: int, asked: int, unused: tuple[int, int] = (0, 0)
    ) -> Grants:
        now = time.time_ns() // 1000
        with self._lock:
            state = self._rates.get(key)
            state, grants = grant(state, now, interval=interval, asked=asked, unused=unused)
            self._rates[key] = state
            # As the server's keys expire.
            over = [name for name, each in self._rates.items() if each.next_at <= now]
            for name in over:
                del self._rates[name]
        return grants

    def share_out(
        self, key: str, ref: ExecutorRef, *, limit: int, held: int, wanted: int
    ) -> Permits:
        now, who = time.time_ns() // 1000, f"{ref.session} {ref.executor}"
        with self._lock:
            shares, permits = share_out(
                *(self._shares.get(key, {}), who, now),
                limit=limit,
                held=held,
                wanted=wanted,
                expiry=self._expiry,
            )
            if shares:
                self._shares[key] = shares
            else:
                self._shares.pop(key, None)
        return permits
