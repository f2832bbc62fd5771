"""The in-memory twin: a cluster of threads in this process, for debugging and for fast tests.

The same window, dispatcher, collector, codec and lease loop run on it as on a real cluster.
"""

import os
import secrets
import threading
from collections.abc import Hashable

from distexec.settings import Settings
from distexec.store.memory import MemoryCallerStore, MemoryServer
from distexec.store.port import ExecutorRef
from distexec.wire.records import Surroundings
from distexec.wire.seal import Seal
from distexec.worker.slot import Slot

#: Name of the only node.
NODE = "threads"


class ThreadsCluster:
    """A cluster whose slots are threads, started when they are woken."""

    has_nodes = False
    is_home = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.seal = Seal(secrets.token_bytes(32))
        self._server = MemoryServer()
        self._lock = threading.Lock()
        self._slots: set[threading.Thread] = set()

    @property
    def key(self) -> Hashable:
        return id(self)

    def open(self, session: str) -> MemoryCallerStore:
        return self._server.caller_store(session)

    def wake(self, queue: str, count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(
                target=self._run_slot, args=(queue,), name="distexec-slot", daemon=True
            )
            with self._lock:
                self._slots.add(thread)
            thread.start()

    def _run_slot(self, queue: str) -> None:
        try:
            self._slot(queue).serve()
        finally:
            with self._lock:
                self._slots.discard(threading.current_thread())

    def _slot(self, queue: str) -> Slot:
        store = self._server.lease_store(NODE, os.getpid())
        return Slot(
            queue,
            store,
            node=NODE,
            seal=self.seal,
            settings=self.settings,
            forward_logs=False,
        )

    def serve_here(self, ref: ExecutorRef, queue: str, limit: int) -> None:
        self._slot(queue).serve_executor(ref, limit, limit)

    def grow(self, slots: int) -> None:
        """A wake-up starts a thread: there is nothing to grow."""

    def slots(self, queue: str) -> int:
        return os.cpu_count() or 1

    def surroundings(self) -> Surroundings | None:
        return None

    def advice(self, queue: str) -> str | None:
        return None

    def failure(self) -> str | None:
        return None

    def release(self) -> None:
        """Wait for the threads of the last executors to end."""
        with self._lock:
            slots = list(self._slots)
        for thread in slots:
            if thread is not threading.current_thread():
                thread.join()

    def __str__(self) -> str:
        return "the in-memory cluster"
