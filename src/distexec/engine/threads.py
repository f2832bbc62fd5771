"""The in-memory twin: a cluster of threads in this process, for debugging and for fast tests.

The same window, dispatcher, collector, codec and lease loop run on it as on a real cluster.
"""

import os
import secrets
import threading
from collections.abc import Callable, Hashable

from distexec.settings import Settings
from distexec.store.memory import MemoryServer
from distexec.store.memory_caller import MemoryCallerStore
from distexec.store.memory_lease import MemoryLeaseStore
from distexec.store.port import ExecutorRef
from distexec.wire.records import Surroundings
from distexec.wire.seal import Seal
from distexec.worker.slot import Slot

#: Name of the only node.
NODE = "threads"


class ThreadsCluster:
    """A cluster whose slots are threads, started when they are woken."""

    has_nodes = False
    is_home = is_distant = False
    broker = ""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.seal = Seal(secrets.token_bytes(32))
        self._server = MemoryServer(settings)
        self._lock = threading.Lock()
        #: Threads that serve, and are waited for at the end.
        self._slots: set[threading.Thread] = set()
        #: How many sessions use it: one, or more while one opens and another closes.
        self._sessions = 0

    @property
    def key(self) -> Hashable:
        return id(self)

    def open(self, session: str) -> MemoryCallerStore:
        with self._lock:
            self._sessions += 1
        return MemoryCallerStore(self._server, session)

    def wake(self, queue: str, count: int, *, again: bool = False) -> None:
        for _ in range(count):
            thread = threading.Thread(
                target=self._run_slot, args=(queue,), name="distexec-slot", daemon=True
            )
            with self._lock:
                # Together: what has not started cannot be waited for.
                self._slots.add(thread)
                thread.start()

    def _run_slot(self, queue: str) -> None:
        me = threading.current_thread()
        try:
            self._slot(queue, lambda: self._forget(me)).serve()
        finally:
            self._forget(me)

    def _forget(self, thread: threading.Thread) -> None:
        with self._lock:
            self._slots.discard(thread)

    def _slot(self, queue: str, on_stuck: Callable[[], None]) -> Slot:
        store = MemoryLeaseStore(self._server, NODE, os.getpid())
        return Slot(
            queue,
            store,
            node=NODE,
            seal=self.seal,
            settings=self.settings,
            forward_logs=False,
            on_stuck=on_stuck,
        )

    def serve_here(
        self, ref: ExecutorRef, queue: str, limit: int, on_stuck: Callable[[], None]
    ) -> None:
        self._slot(queue, on_stuck).serve_executor(ref, limit, limit)

    def grow(self, slots: int) -> None:
        """A wake-up starts a thread: there is nothing to grow."""

    def slots(self, *queues: str) -> int:
        return os.cpu_count() or 1

    def surroundings(self) -> Surroundings | None:
        return None

    def advice(self, queue: str) -> str | None:
        return None

    def failure(self) -> str | None:
        return None

    def release(self) -> None:
        """Wait for the threads of the last executors to end, but not for calls given up.

        Those that are there while another session is open are waited for at its end.
        """
        with self._lock:
            self._sessions -= 1
            slots = [] if self._sessions else list(self._slots)
        for thread in slots:
            if thread is not threading.current_thread():
                thread.join()

    def __str__(self) -> str:
        return "the in-memory cluster"
