"""The threads that run a lease's calls: one, and more while all running calls only wait."""

import contextlib
import threading
import time
from collections.abc import Callable, Collection

from distexec.errors import DistexecError
from distexec.scheduling.run_times import RunTimes
from distexec.scheduling.sharing import is_waiting, runners_to_add, usually_waits
from distexec.store.port import LeaseStore
from distexec.wire.records import ExecutorSpec, Sharing
from distexec.worker.hands import Running

#: An extra runner without a call for so many seconds ends.
LINGER_SECONDS = 0.25

#: Seconds until room is looked for again where nothing waited for it, and where none was left: to
#: ask costs as much as a call.
NOTHING_WAITS_SECONDS = 0.02
NO_ROOM_SECONDS = 0.1


class Runners:
    """The lease's own thread, and the extra ones.

    Args:
        lock: The lease's. It is held by whoever calls `room_for`, `should_retire` and
            `retire`, and by nobody who calls the others.
        run_beside: What an extra thread runs; it calls `retire`, and `narrow` at its end.
    """

    def __init__(
        self,
        store: LeaseStore,
        spec: ExecutorSpec,
        lock: threading.RLock,
        run_beside: Callable[[], None],
    ) -> None:
        self._store, self._spec, self._lock = store, spec, lock
        self._run_beside = run_beside
        self._main = threading.get_ident()
        self._extra: dict[int, threading.Thread] = {}
        #: Whether those that are there are waited for, to the last.
        self._is_over = False
        #: When to look for room again.
        self._ask_at = 0.0

    def __len__(self) -> int:
        return 1 + len(self._extra)

    def is_main(self) -> bool:
        """Whether the calling thread is the lease's own."""
        return threading.get_ident() == self._main

    def may_grow(self, now: float) -> bool:
        """Whether it is worth looking for room, as far as is known."""
        return now >= self._ask_at

    def room_for(self, running: Collection[Running], known: RunTimes, now: float) -> int:
        """How many runners to add: some, if every *running* call only waits.

        Args:
            known: What is known of their functions.
        """
        sharing = self._spec.sharing
        if not running or sharing is Sharing.NEVER or not self.may_grow(now):
            return 0
        watched = [each.watch(now) for each in running]
        if any(each.taken.runs_alone for each in running):
            return 0
        are_expected = all(
            usually_waits(known.get(each.taken.call.function_id)) for each in running
        )
        if not all(
            is_waiting(sharing, elapsed, computed, is_expected=are_expected)
            for elapsed, computed in watched
        ):
            return 0
        are_expected = are_expected or sharing is Sharing.THREADS
        return runners_to_add(len(running), self._spec.limit, are_expected=are_expected)

    def add(self, room: int, *, taken: int, running: int) -> int:
        """Start up to *room* threads, as many as have something to do and may run.

        Args:
            taken: Calls in the lease's hands that wait for a runner.
            running: Calls that run.
        """
        needed = min(room, taken + self._store.backlog() - (len(self) - running))
        if needed <= 0:
            self._ask_at = time.monotonic() + NOTHING_WAITS_SECONDS
            return 0
        wanted = len(self) + needed
        granted = self._store.widen(wanted, self._spec.limit)
        if granted < wanted:
            self._ask_at = time.monotonic() + NO_ROOM_SECONDS
        added = 0
        for _ in range(granted - len(self)):
            # Each by itself: it starts a call while the next one is made, which takes as long.
            if not self._start_thread():
                break
            added += 1
        return added

    def _start_thread(self) -> bool:
        """Start one more runner, unless the lease is over."""
        with self._lock:
            if self._is_over:
                return False
            thread = threading.Thread(target=self._run_beside, name="distexec-runner", daemon=True)
            thread.start()
            self._extra[thread.ident or 0] = thread
            return True

    def should_retire(self, idle_since: float, *, computing: bool) -> bool:
        """Whether the calling extra thread is not needed.

        Args:
            computing: Whether calls run that use the processor: threads would take it from each
                other.
        """
        return computing or time.monotonic() - idle_since > LINGER_SECONDS

    def retire(self) -> None:
        """Leave the runners, as the calling extra thread."""
        del self._extra[threading.get_ident()]

    def narrow(self) -> None:
        """Give back what a runner that ended was granted."""
        with self._lock:
            wanted = len(self)
        with contextlib.suppress(DistexecError):
            self._store.widen(wanted, self._spec.limit)

    def join(self) -> None:
        """Wait for the extra threads to end."""
        with self._lock:
            self._is_over = True
            threads = list(self._extra.values())
        for thread in threads:
            thread.join()
