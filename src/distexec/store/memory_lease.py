"""The verbs of leases, inside one process: `distexec.store.lease_port` over a `MemoryServer`."""

import math
import random
import time
from pathlib import Path

from distexec.store.lease_port import Asking, Bid, Parcel
from distexec.store.memory import ExecutorData, MemoryServer
from distexec.store.port import ExecutorRef, Frame, Held, LeaseRecord

#: Our own: the program's may be seeded, and is not ours to draw from.
_chance = random.Random()


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
                executor = self._server.executor(ref) or ExecutorData()
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

    def admit(self, bid: Bid) -> bool:
        if not self._admit(bid, must_wait=False):
            return False
        self.turn(bid.ref, bid.queue, bid.lease)
        return True

    def claim(self, bid: Bid) -> bool:
        return self._admit(bid, must_wait=True)

    def _admit(self, bid: Bid, *, must_wait: bool) -> bool:
        with self._server.changed:
            executor = self._server.executor(bid.ref)
            if executor is None or len(executor.leases) >= bid.wanted:
                return False
            if executor.threads() >= bid.limit:
                return False
            if must_wait and not executor.stream(bid.queue).waiting:
                return False
            executor.leases[bid.lease] = LeaseRecord(
                bid.lease, self._node, self._pid, 1, bid.queue, time.time()
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

    def _leased(self) -> ExecutorData | None:
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
