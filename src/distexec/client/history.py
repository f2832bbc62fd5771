"""What earlier programs learned of functions, kept on the server: used from the first call on.

A record is for one function in one queue: how long its calls last there on idle machines. The
function is known by the digest of its pickle, which is the same in each program that imports it.
"""

import json
import logging
import threading
import time
from typing import TYPE_CHECKING

from distexec.client.learned import Learned
from distexec.errors import ClusterError, FrameRejected
from distexec.scheduling.run_times import RunTime
from distexec.store.port import HISTORY_SECONDS, MOST_HISTORY, SessionUnknown
from distexec.wire import places
from distexec.wire.seal import Direction

if TYPE_CHECKING:
    from distexec.client.session import Session

logger = logging.getLogger(__name__)

#: Seconds between two times that something new is written: it is of use to the next program.
SAVE_SECONDS = 10.0


class History:
    """One session's part of the cluster's history."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._lock = threading.Lock()
        self._known: dict[str, RunTime] = {}
        #: What this session learned since it wrote last.
        self._news: dict[str, RunTime] = {}
        self._saved_at = time.monotonic()

    def read(self) -> None:
        """Read what is known.

        Raises:
            ClusterError: The server does not answer.
        """
        session = self._session
        for memory in session.store.history.read():
            try:
                place = places.history(memory.name)
                body = session.seal.open(Direction.STORED, place, memory.frame)
                mean, deviation, cpu_mean = map(float, json.loads(bytes(body)))
            except (FrameRejected, ValueError, TypeError) as error:
                session.refusals.note("A record of the history", error)
                continue
            if session.server_time - memory.at < HISTORY_SECONDS:
                self._known[memory.name] = RunTime(mean, deviation, cpu_mean)

    def recall(self, function_id: bytes, queue: str) -> RunTime | None:
        """What is known of a function's calls in *queue*: a copy, to learn on."""
        known = self._known.get(_name(function_id, queue))
        return None if known is None else known.times(1)

    def take(self, learned: Learned) -> None:
        """Take over what an executor learned since it was asked last."""
        with self._lock:
            for function_id, queue, run_time in learned.take_news():
                name = _name(function_id, queue)
                self._known[name] = self._news[name] = run_time
            while len(self._known) > MOST_HISTORY:
                del self._known[next(iter(self._known))]

    def save(self, *, is_last: bool = False) -> None:
        """Write what is new, now and then. What cannot be written is learned again.

        Args:
            is_last: Now, for the session is about to close.
        """
        now = time.monotonic()
        if not is_last and now - self._saved_at < SAVE_SECONDS:
            return
        self._saved_at = now
        session = self._session
        if session.mender.is_away:
            return
        for channel in session.channels():
            self.take(channel.window.learned)
        with self._lock:
            news, self._news = self._news, {}
        records = [(name, self._seal(name, run_time)) for name, run_time in news.items()]
        try:
            session.store.history.write(records)
        except (ClusterError, SessionUnknown) as error:
            logger.debug("Nothing is added to the history: %s", error)

    def _seal(self, name: str, run_time: RunTime) -> bytes:
        figures = run_time.mean, run_time.deviation, run_time.cpu_mean
        body = json.dumps([round(figure, 9) for figure in figures]).encode()
        return self._session.seal.seal(Direction.STORED, places.history(name), body)


def _name(function_id: bytes, queue: str) -> str:
    return f"{function_id.hex()}:{queue}"
