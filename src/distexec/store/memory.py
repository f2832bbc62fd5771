"""The store's twin inside one process: what the server keeps, under one lock.

Callers have the verbs of `distexec.store.memory_caller`, leases those of ``memory_lease``.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from distexec.settings import Settings
from distexec.store.memory_history import MemoryHistoryStore
from distexec.store.memory_letters import MemoryLetterStore
from distexec.store.memory_limits import MemoryLimitStore
from distexec.store.memory_streams import CallStream
from distexec.store.port import ExecutorRef, Frame, LeaseRecord, NodeStatus


@dataclass(slots=True)
class ExecutorData:
    """What is kept of an executor."""

    spec: Frame | None = None
    functions: dict[bytes, Frame] = field(default_factory=dict)
    streams: dict[str, CallStream] = field(default_factory=dict)
    leases: dict[str, LeaseRecord] = field(default_factory=dict)

    def stream(self, queue: str) -> CallStream:
        return self.streams.setdefault(queue, CallStream())

    def threads(self) -> int:
        return sum(lease.threads for lease in self.leases.values())


@dataclass(slots=True)
class SessionData:
    """What is kept of a session."""

    executors: dict[str, ExecutorData] = field(default_factory=dict)
    replies: list[Frame] = field(default_factory=list)
    blobs: dict[bytes, dict[int, Frame]] = field(default_factory=dict)
    #: Whether its reader is to return, though there is nothing to read.
    nudged: bool = False


class MemoryServer:
    """What callers, leases and nodes of one process share."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.changed = threading.Condition()
        self.letters = MemoryLetterStore(settings or Settings())
        self.limits = MemoryLimitStore(settings or Settings(), self.nudge)
        self.history = MemoryHistoryStore()
        self.sessions: dict[str, SessionData] = {}
        self.demands: dict[str, dict[ExecutorRef, Frame]] = {}
        self.nodes: dict[str, NodeStatus] = {}
        self.totals: Counter[str] = Counter()
        self.serials: dict[str, int] = {}

    def nudge(self, sessions: Iterable[str]) -> None:
        """Let these sessions' readers look up, though there is nothing to read."""
        with self.changed:
            for name in sessions:
                if name in self.sessions:
                    self.sessions[name].nudged = True
            self.changed.notify_all()

    def executor(self, ref: ExecutorRef) -> ExecutorData | None:
        session = self.sessions.get(ref.session)
        return None if session is None else session.executors.get(ref.executor)

    def put_blob(self, session_name: str, name: bytes, index: int, frame: Frame) -> None:
        with self.changed:
            session = self.sessions.get(session_name)
            if session is not None:
                chunks = session.blobs.setdefault(name, {})
                if index == 0:
                    chunks.clear()
                chunks[index] = frame

    def blob(self, session_name: str, name: bytes, index: int) -> Frame | None:
        with self.changed:
            session = self.sessions.get(session_name)
            return None if session is None else session.blobs.get(name, {}).get(index)
