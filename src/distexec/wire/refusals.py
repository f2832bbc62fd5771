"""Counts what is found on the server and is not ours, and says so once of each kind."""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Refusals:
    """What one reader put aside. Thread-safe.

    Only the first of each kind is a warning: whoever can write to the server could otherwise fill
    disks with our logs.

    Args:
        noted: Called for each; for counters that several processes share.
    """

    def __init__(self, noted: Callable[[], None] = lambda: None) -> None:
        self._noted = noted
        self._lock = threading.Lock()
        self._kinds: set[str] = set()
        #: How many were put aside so far.
        self.count = 0

    def note(self, what: str, why: object) -> None:
        """Count *what* was put aside; it is also its kind, so it has no ids in it."""
        with self._lock:
            self.count += 1
            is_new = what not in self._kinds
            self._kinds.add(what)
        self._noted()
        if is_new:
            logger.warning("%s is put aside: %s. More of them are counted silently", what, why)
        else:
            logger.debug("%s is put aside: %s", what, why)
