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
from distexec.store.port import HISTORY_SECONDS, MOST_HISTORY, Memory, SessionUnknown
from distexec.wire import places
from distexec.wire.seal import Direction, Seal

if TYPE_CHECKING:
    from distexec.client.session import Session

logger = logging.getLogger(__name__)

#: Seconds between two times that something new is written: it is of use to the next program.
SAVE_SECONDS = 10.0


#: Characters of a function's name that are kept: it is for people.
LONGEST_LABEL = 120


class History:
    """One session's part of the cluster's history."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._lock = threading.Lock()
        self._known: dict[str, RunTime] = {}
        #: What this session learned since it wrote last.
        self._news: dict[str, tuple[RunTime, str]] = {}
        self._saved_at = time.monotonic()

    def read(self) -> None:
        """Read what is known.

        Raises:
            ClusterError: The server does not answer.
        """
        session = self._session
        for memory in session.store.history.read():
            try:
                known, _ = read_record(memory, session.seal)
            except (FrameRejected, ValueError) as error:
                session.refusals.note("A record of the history", error)
                continue
            if session.server_time - memory.at < HISTORY_SECONDS:
                self._known[memory.name] = known

    def recall(self, function_id: bytes, queue: str) -> RunTime | None:
        """What is known of a function's calls in *queue*: a copy, to learn on."""
        known = self._known.get(record_name(function_id, queue))
        return None if known is None else known.times(1)

    def take(self, learned: Learned) -> None:
        """Take over what an executor learned since it was asked last."""
        with self._lock:
            for function_id, queue, label, run_time in learned.take_news():
                name = record_name(function_id, queue)
                self._known[name], self._news[name] = run_time, (run_time, label)
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
        records = [(name, self._seal(name, *known)) for name, known in news.items()]
        try:
            session.store.history.write(records)
        except (ClusterError, SessionUnknown) as error:
            logger.debug("Nothing is added to the history: %s", error)

    def _seal(self, name: str, known: RunTime, label: str) -> bytes:
        figures = [round(each, 9) for each in (known.mean, known.deviation, known.cpu_mean)]
        body = json.dumps([*figures, label[:LONGEST_LABEL]]).encode()
        return self._session.seal.seal(Direction.STORED, places.history(name), body)


def read_record(memory: Memory, seal: Seal) -> tuple[RunTime, str]:
    """Read what is known of a function in a queue, and the function's name.

    Raises:
        FrameRejected: It is not signed with our secret.
        ValueError: It is no such record.
    """
    body = bytes(seal.open(Direction.STORED, places.history(memory.name), memory.frame))
    match json.loads(body):
        case [int() | float() as mean, int() | float() as off, int() | float() as cpu, str(label)]:
            return RunTime(mean, off, cpu), label
    raise ValueError("it is no record of how long calls last")


def record_name(function_id: bytes, queue: str) -> str:
    """The name of the record for a function in a queue."""
    return f"{function_id.hex()}:{queue}"
