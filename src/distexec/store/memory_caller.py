"""The verbs of callers, inside one process: `distexec.store.caller_port` over a `MemoryServer`."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from distexec.store.caller_port import Damage, ReplyMark
from distexec.store.memory import ExecutorData, MemoryServer, SessionData
from distexec.store.port import ExecutorRef, Frame, Held, LeaseRecord, NodeStatus, SessionUnknown


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
            self._server.sessions.setdefault(self._name, SessionData())
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
            session.executors.setdefault(ref.executor, ExecutorData()).spec = frame

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

    def _executor(self, ref: ExecutorRef) -> ExecutorData:
        executor = self._server.executor(ref)
        if executor is None:
            raise SessionUnknown(self._name)
        return executor
