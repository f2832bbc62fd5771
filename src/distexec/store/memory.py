"""The store's twin inside one process: the same verbs, under one lock.

A `MemoryServer` stands for the server; its three `..._store` methods open the sides of it.
"""

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distexec.settings import Settings
from distexec.store.caller_port import Damage, ReplyMark
from distexec.store.lease_port import Asking, Parcel
from distexec.store.memory_history import MemoryHistoryStore
from distexec.store.memory_letters import MemoryLetterStore
from distexec.store.memory_limits import MemoryLimitStore
from distexec.store.memory_streams import CallStream
from distexec.store.port import ExecutorRef, Frame, Held, LeaseRecord, NodeStatus, SessionUnknown

#: Our own: the program's may be seeded, and is not ours to draw from.
_chance = random.Random()


@dataclass(slots=True)
class _Executor:
    spec: Frame | None = None
    functions: dict[bytes, Frame] = field(default_factory=dict)
    streams: dict[str, CallStream] = field(default_factory=dict)
    leases: dict[str, LeaseRecord] = field(default_factory=dict)

    def stream(self, queue: str) -> CallStream:
        return self.streams.setdefault(queue, CallStream())

    def threads(self) -> int:
        return sum(lease.threads for lease in self.leases.values())


@dataclass(slots=True)
class _Session:
    executors: dict[str, _Executor] = field(default_factory=dict)
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
        self.sessions: dict[str, _Session] = {}
        self.demands: dict[str, dict[ExecutorRef, Frame]] = {}
        self.nodes: dict[str, NodeStatus] = {}
        self.totals: Counter[str] = Counter()
        self.serials: dict[str, int] = {}

    def caller_store(self, session: str) -> "MemoryCallerStore":
        return MemoryCallerStore(self, session)

    def lease_store(self, node: str, pid: int) -> "MemoryLeaseStore":
        return MemoryLeaseStore(self, node, pid)

    def nudge(self, sessions: Iterable[str]) -> None:
        """Let these sessions' readers look up, though there is nothing to read."""
        with self.changed:
            for name in sessions:
                if name in self.sessions:
                    self.sessions[name].nudged = True
            self.changed.notify_all()

    def executor(self, ref: ExecutorRef) -> _Executor | None:
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


class MemoryCallerStore:
    """`distexec.store.caller_port.CallerStore` in memory."""

    #: They are in this process's memory already.
    blob_folder: Path | None = None

    def __init__(self, server: MemoryServer, session: str) -> None:
        self.letters, self.limits = server.letters, server.limits
        self.history = server.history
        self._server = server
        self._name = session
        #: Replies that were collected, and how many of them before the last time.
        self._collected = self._processed = 0

    def open(self) -> float:
        with self._server.changed:
            self._server.sessions.setdefault(self._name, _Session())
        return time.time()

    def put(
        self,
        ref: ExecutorRef,
        queue: str,
        entries: Sequence[Held],
        functions: Sequence[tuple[bytes, Frame]] = (),
        *,
        patience: float | None = None,
    ) -> int:
        with self._server.changed:
            executor = self._executor(ref)
            executor.functions.update(functions)
            executor.stream(queue).put(entries)
            self._server.changed.notify_all()
            return len(executor.leases)

    def recall(self, ref: ExecutorRef, queue: str, entries: Sequence[int]) -> list[int]:
        with self._server.changed:
            return self._executor(ref).stream(queue).recall(entries)

    def collect(self, timeout: float) -> list[Frame]:
        with self._server.changed:
            self._processed = self._collected
            self._server.changed.wait_for(self._has_something, timeout)
            session = self._server.sessions.get(self._name)
            if session is None:
                return []
            session.nudged = False
            frames, session.replies = session.replies, []
            self._collected += len(frames)
            return frames

    def _has_something(self) -> bool:
        session = self._server.sessions.get(self._name)
        return session is None or session.nudged or bool(session.replies)

    def put_spec(self, ref: ExecutorRef, frame: Frame) -> None:
        with self._server.changed:
            session = self._server.sessions.get(self._name)
            if session is None:
                raise SessionUnknown(self._name)
            session.executors.setdefault(ref.executor, _Executor()).spec = frame

    def knows(self, ref: ExecutorRef) -> bool:
        with self._server.changed:
            executor = self._server.executor(ref)
            return executor is not None and executor.spec is not None

    @property
    def connections(self) -> int:
        return 1

    def census(
        self, ref: ExecutorRef, queue: str, entries: Sequence[int]
    ) -> tuple[list[int], ReplyMark]:
        with self._server.changed:
            stream = self._executor(ref).stream(queue)
            there = {held.entry for held in stream.waiting} | stream.holders.keys()
            missing = [entry for entry in entries if entry not in there]
            session = self._server.sessions[self._name]
            return missing, (self._collected + len(session.replies), 0)

    def has_collected(self, mark: ReplyMark) -> bool:
        return (self._processed, 0) >= mark

    def drop_functions(self, ref: ExecutorRef, function_ids: Sequence[bytes]) -> None:
        with self._server.changed:
            executor = self._executor(ref)
            for function_id in function_ids:
                executor.functions.pop(function_id, None)

    def put_blob(self, name: bytes, index: int, frame: Frame) -> None:
        self._server.put_blob(self._name, name, index, frame)

    def blob(self, name: bytes, index: int) -> Frame | None:
        return self._server.blob(self._name, name, index)

    def drop_blobs(self, names: Sequence[bytes]) -> None:
        with self._server.changed:
            session = self._server.sessions.get(self._name)
            if session is not None:
                for name in names:
                    session.blobs.pop(name, None)

    def ask(self, queue: str, ref: ExecutorRef, frame: Frame | None) -> None:
        with self._server.changed:
            demands = self._server.demands.setdefault(queue, {})
            if frame is None:
                demands.pop(ref, None)
            else:
                demands[ref] = frame

    def leases(self, ref: ExecutorRef) -> list[LeaseRecord]:
        with self._server.changed:
            executor = self._server.executor(ref)
            return [] if executor is None else list(executor.leases.values())

    def bury(self, ref: ExecutorRef, lease: str) -> list[tuple[str, int]]:
        with self._server.changed:
            executor = self._executor(ref)
            executor.leases.pop(lease, None)
            held = [
                (queue, entry)
                for queue, stream in executor.streams.items()
                for entry, holder in stream.holders.items()
                if holder == lease
            ]
            for queue, entry in held:
                del executor.streams[queue].holders[entry]
            self._server.changed.notify_all()
            return held

    def condemn(self, ref: ExecutorRef, queue: str, entry: int) -> LeaseRecord | None:
        with self._server.changed:
            executor = self._executor(ref)
            lease = executor.stream(queue).holders.get(entry)
            if lease is None:
                return None
            record = executor.leases.pop(lease, None)
            self._server.changed.notify_all()
            return record or LeaseRecord(lease, "", 0, 0, queue, 0.0)

    def nodes(self) -> list[NodeStatus]:
        with self._server.changed:
            return list(self._server.nodes.values())

    def server_memory(self) -> float:
        """This process's memory has no limit that a server would keep to."""
        return 0.0

    def answer(self, name: str, frame: Frame) -> None:
        """Operators of one process ask its executors themselves."""

    def demands(self, queue: str) -> list[tuple[ExecutorRef, Frame]]:
        with self._server.changed:
            return list(self._server.demands.get(queue, {}).items())

    def command(self, node: str, frame: Frame) -> None:
        """Nodes of one process take no commands: its engine starts and stops their threads."""

    def beat(self, refs: Sequence[ExecutorRef]) -> float:
        with self._server.changed:
            if self._name not in self._server.sessions:
                raise SessionUnknown(self._name)
        return time.time()

    def audit(self, refs: Sequence[ExecutorRef]) -> Damage:
        """Nobody else can write into this process."""
        return Damage()

    def count(self, source: str, serial: int, counts: Mapping[str, int]) -> None:
        with self._server.changed:
            if self._server.serials.get(source) != serial:
                self._server.serials[source] = serial
                self._server.totals.update(counts)

    def close_executor(self, ref: ExecutorRef) -> None:
        with self._server.changed:
            session = self._server.sessions.get(self._name)
            if session is not None:
                session.executors.pop(ref.executor, None)
            for demands in self._server.demands.values():
                demands.pop(ref, None)
            self._server.changed.notify_all()

    def interrupt(self) -> None:
        self._server.nudge([self._name])

    def close(self) -> None:
        with self._server.changed:
            self._server.sessions.pop(self._name, None)
            for demands in self._server.demands.values():
                for ref in [ref for ref in demands if ref.session == self._name]:
                    del demands[ref]
            self._server.changed.notify_all()

    def _executor(self, ref: ExecutorRef) -> _Executor:
        executor = self._server.executor(ref)
        if executor is None:
            raise SessionUnknown(self._name)
        return executor


class MemoryLeaseStore:
    """`distexec.store.lease_port.LeaseStore` in memory."""

    blob_folder: Path | None = None

    def __init__(self, server: MemoryServer, node: str, pid: int) -> None:
        self._server = server
        self._node, self._pid = node, pid
        self._ref = ExecutorRef("", "")
        self._queue = self._lease = ""

    def demands(self, queue: str, most: int) -> tuple[float, list[Asking]]:
        with self._server.changed:
            asked = list(self._server.demands.get(queue, {}).items())
            asking = []
            for ref, frame in _chance.sample(asked, min(most, len(asked))):
                executor = self._server.executor(ref) or _Executor()
                stream = executor.stream(queue)
                entries = len(stream.waiting) + len(stream.holders)
                asking.append(Asking(ref, frame, len(executor.leases), entries))
            return time.time(), asking

    def withdraw(self, queue: str, ref: ExecutorRef) -> None:
        with self._server.changed:
            self._server.demands.get(queue, {}).pop(ref, None)

    @property
    def asking(self) -> int:
        return len(self._server.demands.get(self._queue, ()))

    def admit(
        self,
        ref: ExecutorRef,
        queue: str,
        lease: str,
        *,
        limit: int,
        wanted: int,
        share: int | None = None,
    ) -> bool:
        if not self._admit(ref, queue, lease, limit, wanted, must_wait=False):
            return False
        self.turn(ref, queue, lease)
        return True

    def claim(
        self,
        ref: ExecutorRef,
        queue: str,
        lease: str,
        *,
        limit: int,
        wanted: int,
        share: int | None = None,
    ) -> bool:
        return self._admit(ref, queue, lease, limit, wanted, must_wait=True)

    def _admit(
        self,
        ref: ExecutorRef,
        queue: str,
        lease: str,
        limit: int,
        wanted: int,
        *,
        must_wait: bool,
    ) -> bool:
        with self._server.changed:
            executor = self._server.executor(ref)
            if executor is None or len(executor.leases) >= wanted or executor.threads() >= limit:
                return False
            if must_wait and not executor.stream(queue).waiting:
                return False
            executor.leases[lease] = LeaseRecord(
                lease, self._node, self._pid, 1, queue, time.time()
            )
            return True

    def turn(self, ref: ExecutorRef, queue: str, lease: str) -> None:
        self._ref, self._queue, self._lease = ref, queue, lease

    def widen(self, threads: int, limit: int) -> int:
        with self._server.changed:
            executor = self._server.executor(self._ref)
            if executor is None or self._lease not in executor.leases:
                return 0
            record = executor.leases[self._lease]
            most = record.threads + max(limit - executor.threads(), 0)
            share = math.ceil(limit / len(executor.leases))
            if record.threads < share:
                most = min(most, share)
            granted = min(threads, most)
            executor.leases[self._lease] = record._replace(threads=granted)
            return granted

    def spec(self) -> Frame | None:
        with self._server.changed:
            executor = self._server.executor(self._ref)
            return None if executor is None else executor.spec

    def drop_spec(self) -> None:
        """Nobody else can write into this process."""

    def function(self, function_id: bytes) -> Frame | None:
        with self._server.changed:
            executor = self._server.executor(self._ref)
            return None if executor is None else executor.functions.get(function_id)

    def put_blob(self, name: bytes, index: int, frame: Frame) -> None:
        self._server.put_blob(self._ref.session, name, index, frame)

    def blob(self, session: str, name: bytes, index: int) -> Frame | None:
        return self._server.blob(session, name, index)

    def backlog(self) -> int:
        with self._server.changed:
            executor = self._server.executor(self._ref)
            return 0 if executor is None else len(executor.stream(self._queue).waiting)

    def take(self, count: int, timeout: float) -> list[Held] | None:
        with self._server.changed:
            self._server.changed.wait_for(self._has_something, timeout)
            executor = self._leased()
            if executor is None:
                return None
            return executor.stream(self._queue).take(self._lease, count, executor.leases)

    def reserve(self, most_threads: int) -> list[Held] | None:
        with self._server.changed:
            executor = self._leased()
            if executor is None:
                return None
            serving = [each for each in executor.leases.values() if each.queue == self._queue]
            if sum(each.threads for each in serving) > most_threads:
                return []
            return executor.stream(self._queue).reserve(self._lease, executor.leases)

    def _leased(self) -> _Executor | None:
        executor = self._server.executor(self._ref)
        return executor if executor is not None and self._lease in executor.leases else None

    def _has_something(self) -> bool:
        executor = self._leased()
        return executor is None or executor.stream(self._queue).has_something(
            self._lease, executor.leases
        )

    def reply(self, parcel: Parcel) -> bool:
        with self._server.changed:
            executor = self._leased()
            if executor is None:
                return False
            stream = executor.stream(self._queue)
            for entry in parcel.finished:
                stream.holders.pop(entry, None)
            if parcel.reserved is not None:
                stream.end_reservation(self._lease, parcel.reserved)
            if parcel.frame is not None:
                self._server.sessions[self._ref.session].replies.append(parcel.frame)
            if parcel.frame is not None or parcel.reserved is not None:
                self._server.changed.notify_all()
            return True

    def exchange(self, parcel: Parcel, count: int, timeout: float = 0.0) -> list[Held] | None:
        with self._server.changed:
            return self.take(count, 0) if self.reply(parcel) else None

    def counts(self) -> bool:
        with self._server.changed:
            return self._leased() is not None

    def leave(self, *, force: bool) -> bool:
        with self._server.changed:
            executor = self._leased()
            if executor is None:
                return True
            if executor.stream(self._queue).waiting and not force:
                return False
            del executor.leases[self._lease]
            return True

    def close(self) -> None:
        """Nothing to close."""
