"""The threads that run a lease's calls: one, and more while all running calls only wait."""

import contextlib
import threading
import time
from collections.abc import Callable, Collection

from distexec.errors import DistexecError
from distexec.scheduling.run_times import RunTimes
from distexec.scheduling.sharing import is_waiting, runners_to_add, usually_waits
from distexec.store.lease_port import LeaseStore
from distexec.wire.records import ExecutorSpec, Sharing
from distexec.worker.hands import Running, Taken

#: An extra runner without a call for so many seconds ends.
LINGER_SECONDS = 0.25

#: Its thread rests for so many more, without a right to run anything: to begin one anew takes ten
#: times as long as to wake it, which the next burst of many waits would notice.
REST_SECONDS = 5.0

#: Seconds until room is looked for again where nothing waited for it, at first and later, and where
#: none was left. To ask costs as much as a call; but when the first call of a burst begins, the
#: others may be on their way.
SOON_SECONDS = 0.0025
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
        #: Threads without a runner, and what each waits for.
        self._resting: list[tuple[threading.Thread, threading.Event]] = []
        #: Whether those that are there are waited for, to the last.
        self._is_over = False
        #: When it is worth looking for room again, as far as is known.
        self.may_grow_at = 0.0
        #: Seconds to let pass where nothing waits.
        self._patience = SOON_SECONDS

    def __len__(self) -> int:
        return 1 + len(self._extra)

    def is_main(self) -> bool:
        """Whether the calling thread is the lease's own."""
        return threading.get_ident() == self._main

    def room_for(self, running: Collection[Running], known: RunTimes, now: float) -> int:
        """How many runners to add: some, if every *running* call only waits.

        Calls that are known to wait are given the first few threads at once, and more when those
        that were seen before do wait. Others are watched from one look to the next.

        Args:
            known: What is known of their functions.
        """
        sharing = self._spec.sharing
        if not running or sharing is Sharing.NEVER or now < self.may_grow_at:
            return 0
        were_seen = [each.seen_at is not None for each in running]
        watched = [each.watch(now) for each in running]
        if any(each.taken.runs_alone for each in running):
            return 0
        are_expected = all(is_expected_to_wait(each.taken, known) for each in running)
        if are_expected and (len(running) == 1 or any(were_seen)):
            watched = [each for each, was_seen in zip(watched, were_seen, strict=True) if was_seen]
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
            self._ask_later(time.monotonic())
            return 0
        wanted = len(self) + needed
        granted = self._store.widen(wanted, self._spec.limit)
        if granted < wanted:
            self.may_grow_at = time.monotonic() + NO_ROOM_SECONDS
        added = 0
        for _ in range(granted - len(self)):
            # Each by itself: it starts a call while the next one is made, which takes as long.
            if not self._start_thread():
                break
            added += 1
        return added

    def _ask_later(self, now: float) -> None:
        """Let some time pass, since nothing waits: more each time, unless that is long ago."""
        longer = min(2 * self._patience, NOTHING_WAITS_SECONDS)
        self._patience = SOON_SECONDS if now - self.may_grow_at > NO_ROOM_SECONDS else longer
        self.may_grow_at = now + self._patience

    def _start_thread(self) -> bool:
        """Have one more runner, unless the lease is over."""
        with self._lock:
            if self._is_over:
                return False
            if self._resting:
                thread, called = self._resting.pop()
                called.set()
            else:
                thread = threading.Thread(target=self._serve, name="distexec-runner", daemon=True)
                thread.start()
            self._extra[thread.ident or 0] = thread
            return True

    def _serve(self) -> None:
        """Be a runner, and again whenever one is needed, as an extra thread."""
        while True:
            self._run_beside()
            with self._lock:
                if self._is_over or threading.get_ident() in self._extra:
                    return
                called = threading.Event()
                self._resting.append(me := (threading.current_thread(), called))
            called.wait(REST_SECONDS)
            with self._lock:
                if threading.get_ident() not in self._extra:
                    if me in self._resting:
                        self._resting.remove(me)
                    return

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
            threads = [*self._extra.values(), *(thread for thread, _ in self._resting)]
            for _, called in self._resting:
                called.set()
            self._resting.clear()
        for thread in threads:
            thread.join()


def is_expected_to_wait(taken: Taken, known: RunTimes) -> bool:
    """Whether a call most likely waits, by what this lease saw or else by what its caller knows."""
    run_time = known.get(taken.call.function_id)
    return taken.waits if run_time is None else usually_waits(run_time)
