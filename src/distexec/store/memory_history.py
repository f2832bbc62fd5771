"""`distexec.store.port.HistoryStore` in memory."""

import threading
import time
from collections.abc import Iterable

from distexec.store.port import MOST_HISTORY, Frame, Memory


class MemoryHistoryStore:
    """The history of a process: it ends with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The oldest first.
        self._records: dict[str, Memory] = {}

    def read(self) -> list[Memory]:
        with self._lock:
            return list(self._records.values())

    def write(self, records: Iterable[tuple[str, Frame]]) -> None:
        with self._lock:
            for name, frame in records:
                self._records.pop(name, None)
                self._records[name] = Memory(name, time.time(), frame)
            while len(self._records) > MOST_HISTORY:
                del self._records[next(iter(self._records))]
