"""Whether the server hears a lease, and how long it is worth trying while it does not."""

import time
from typing import Final

from distexec.errors import ClusterRefused, ClusterUnavailable

#: What a server says that may do better soon: nothing, or that it cannot or may not answer now.
PASSING: Final = (ClusterUnavailable, ClusterRefused)

#: Seconds between two tries: at first, and at most.
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0


class Contact:
    """A lease's memory of its server's last answer. Thread-safe: each field is set at one stroke.

    Args:
        patience: Seconds without an answer after which nothing that the lease has to say can count:
            the keys of its session have expired by then, or its caller has given its calls away.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        #: When the server answered last.
        self.heard_at = time.monotonic()
        self._next_try = self._pause = 0.0

    def heard(self) -> None:
        """Note that the server answered."""
        self.heard_at = time.monotonic()
        self._next_try = self._pause = 0.0

    def missed(self) -> bool:
        """Note that the server did not answer; False if it is not worth trying again."""
        now = time.monotonic()
        self._pause = min(max(2 * self._pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self._next_try = now + self._pause
        return now - self.heard_at < self._patience

    def pause(self) -> float:
        """Seconds until the next try; 0 for now, and whenever the last one was answered."""
        next_try = self._next_try
        return max(0.0, next_try - time.monotonic()) if next_try else 0.0
