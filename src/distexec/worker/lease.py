"""The lease loop: takes an executor's calls from its stream, runs them, and answers.

::

    call stream --take--> taken --start--> runner --finish--> outbox --reply--> reply stream
                            |                                   ^
                            +--return (unstarted for some ms)---+

    runner   A thread that runs calls: the child's main thread, and others when calls wait.
             One runner without a call leads: it reads the stream, and hands the calls out.
             So a call that arrives at an idle lease runs on the thread that received it.
    keeper   A thread that looks after the lease while calls run: it sends what finished, tells
             what started, returns what cannot start, and makes room when all calls wait.
"""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from distexec.errors import DistexecError
from distexec.scheduling.batching import COMPUTING_SHARE, entries_to_take
from distexec.scheduling.run_times import RunTimes
from distexec.scheduling.sharing import is_waiting, runners_to_add
from distexec.settings import Settings
from distexec.store.port import ExecutorRef, LeaseStore
from distexec.wire import places
from distexec.wire.codec import decode_calls, encode_replies
from distexec.wire.records import (
    CallFlag,
    Envelope,
    ExecutorSpec,
    Reply,
    ReplyKind,
    Sharing,
    pack_entry,
)
from distexec.wire.seal import Direction, Seal
from distexec.worker import context
from distexec.worker.run import Functions, run_call

logger = logging.getLogger(__name__)

#: Seconds that a taken call may wait unstarted before its lease returns it. Below 2 ms returns
#: cost more than they save; above 10 ms tiny calls wait behind slow ones.
RETURN_AFTER_SECONDS = 0.005

#: Seconds between two looks of the keeper, at least: short enough for all of the above.
KEEPER_SECONDS = 0.0025

#: Seconds between two looks for room: waiting calls are known by then, and asking is not free.
ROOM_SECONDS = 0.02

#: Seconds until the next look where nothing is expected.
QUIET_SECONDS = 0.5

#: Seconds that a finished call's reply may wait for others to travel with.
REPLY_DELAY_SECONDS = 0.001

#: Bytes of replies that leave at once.
REPLY_BYTES = 128 * 1024

#: Known to last longer than this, a call says that it started before it does, since the keeper
#: is deaf while a call holds the interpreter's lock. One trip is a thousandth of such a call.
ANNOUNCE_SECONDS = 0.1

#: Seconds of an idle lease's first look at the stream, and of the later ones. Between two looks it
#: notices that others ask for its slot.
FIRST_LOOK_SECONDS = 0.05
LOOK_SECONDS = 0.25

#: An extra runner without a call for so many seconds ends.
RUNNER_LINGER_SECONDS = 0.25


@dataclass(slots=True)
class _Taken:
    """A call in the lease's hands."""

    entry: int
    call: Envelope
    taken_at: float


@dataclass(slots=True)
class _Running:
    """A call that a runner is busy with, and what the keeper saw of it."""

    taken: _Taken
    started_at: float
    clock: int | None
    cpu_started: float
    announced: bool = False


class Lease:
    """One lease of one executor, in the hands of this process.

    Args:
        others_wait: Whether somebody else asks for this slot; called while idle.
        should_yield: Whether the slot must be given back at the next call boundary.
    """

    def __init__(
        self,
        store: LeaseStore,
        name: str,
        ref: ExecutorRef,
        queue: str,
        spec: ExecutorSpec,
        *,
        node: str,
        seal: Seal,
        settings: Settings,
        others_wait: Callable[[], bool],
        should_yield: Callable[[], bool],
    ) -> None:
        self._store, self._name = store, name
        self._ref, self._queue, self._spec = ref, queue, spec
        self._node, self._seal, self._settings = node, seal, settings
        self._others_wait, self._should_yield = others_wait, should_yield
        self._functions = Functions(self._fetch_function)
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        # All below is guarded by _changed.
        self._taken: deque[_Taken] = deque()
        self._running: dict[int, _Running] = {}
        #: Calls of an entry that have not been answered yet.
        self._open_entries: dict[int, int] = {}
        self._outbox: list[Reply] = []
        self._outbox_bytes = 0
        self._outbox_since = 0.0
        self._finished: list[int] = []
        self._leader: int | None = None
        self._main = threading.get_ident()
        self._main_waits = False
        self._extra_runners: dict[int, threading.Thread] = {}
        self._ended = False
        self._run_times = RunTimes()
        self._calls_per_entry = 1.0
        #: Whether the last entry's calls were short, by their caller.
        self._takes_many = False
        self._idle_since = time.monotonic()
        self._calls_run = 0
        #: Why the lease cannot tell its caller how its calls ended, if so.
        self._failure: Exception | None = None
        self._busy = threading.Event()
        self._stop_keeper = threading.Event()

    def run(self) -> None:
        """Serve until there is nothing to do, the slot is wanted back, or the lease is ended.

        Raises:
            Exception: The lease is lost with what it holds; the process must end, which tells.
        """
        keeper = threading.Thread(target=self._keep, name="distexec-keeper", daemon=True)
        keeper.start()
        try:
            self._run_calls()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
                runners = list(self._extra_runners.values())
            for runner in runners:
                runner.join()
            self._stop_keeper.set()
            self._busy.set()
            keeper.join()
            with self._changed:
                self._take_many(False)
            self._send()
            self._store.leave(force=True)
        if self._failure is not None:
            raise self._failure

    @property
    def calls_run(self) -> int:
        """How many calls ran to their end here."""
        return self._calls_run

    # A runner's way: next, run, finish.

    def _run_calls(self) -> None:
        """Run calls on this thread, one after the other."""
        while (running := self._next()) is not None:
            call = running.taken.call
            context.running.call = context.CurrentCall(
                f"{self._ref.session}-{call.number}", call.attempt
            )
            context.running.post = self._post
            reply = run_call(
                call,
                self._functions,
                node=self._node,
                max_payload=self._settings.max_payload_bytes,
            )
            context.running.call = context.running.post = None
            if os.getpid() != self._pid:
                os._exit(0)  # The call forked, and this is the child: only the parent answers.
            self._finish(running, reply)

    def _run_beside(self) -> None:
        """Run calls on an extra thread."""
        try:
            self._run_calls()
        except Exception as error:
            self._fail(error)

    def _next(self) -> _Running | None:
        """Return the next call to run on this thread; ``None`` when this runner is done."""
        me = threading.get_ident()
        is_main = me == self._main
        idle_since = time.monotonic()
        while True:
            with self._changed:
                running = self._start(me)
                if running is None:
                    if self._ended and not self._taken:
                        return None
                    retires = not is_main and self._should_retire(idle_since)
                    if retires:
                        del self._extra_runners[me]
                        break
                    leads = self._leader is None and not self._ended and self._may_lead(is_main)
                    if leads:
                        self._leader = me
                    else:
                        self._main_waits = is_main
                        self._changed.wait(LOOK_SECONDS)
                        if is_main:
                            self._main_waits = False
                        continue
            if running is not None:
                if self._must_announce(running):
                    self._announce([running])
                return running
            self._lead(is_main)
        self._narrow()
        return None

    def _start(self, me: int) -> _Running | None:
        """Claim the next call for this thread: from now on it can be neither returned nor lost."""
        if not self._taken:
            return None
        if self._main_waits and me != self._main and not self._running:
            # A call alone on its lease runs on the child's main thread.
            self._changed.notify_all()
            return None
        alone = CallFlag.SUSPECT | CallFlag.ALONE
        if self._running:
            if any(running.taken.call.flags & alone for running in self._running.values()):
                return None
            if self._taken[0].call.flags & alone:
                return None
        taken = self._taken.popleft()
        if taken.call.flags & alone:
            self._return_unstarted(older_than=None)
        clock = _cpu_clock()
        running = _Running(taken, time.monotonic(), clock, _cpu_time(clock))
        self._running[me] = running
        self._busy.set()
        return running

    def _finish(self, running: _Running, reply: Reply) -> None:
        """Put the reply into the outbox, and send it unless others may travel with it."""
        now = time.monotonic()
        with self._changed:
            del self._running[threading.get_ident()]
            self._calls_run += 1
            if reply.kind == ReplyKind.UNKNOWN_FUNCTION:
                reply = reply._replace(payload=pack_entry(running.taken.entry))
            else:
                function_id = running.taken.call.function_id
                self._run_times.add(function_id, reply.run_seconds, reply.cpu_seconds)
            self._answer(running.taken.entry, reply, now)
            must_send = (
                not self._taken
                or self._outbox_bytes > REPLY_BYTES
                or now - self._outbox_since > REPLY_DELAY_SECONDS
            )
            self._idle_since = now
            limit = self._spec.calls_per_child
            if limit is not None and self._calls_run >= limit:
                self._ended = True
                self._return_unstarted(older_than=None)
            if self._running or self._taken:
                self._changed.notify_all()
        if must_send:
            self._send()

    def _answer(self, entry: int, reply: Reply, now: float) -> None:
        """Add a last reply to the outbox; its entry is finished with the last of its calls."""
        if not self._outbox:
            self._outbox_since = now
        self._outbox.append(reply)
        self._outbox_bytes += len(reply.payload)
        self._open_entries[entry] -= 1
        if not self._open_entries[entry]:
            del self._open_entries[entry]
            self._finished.append(entry)

    # The leader: reads the stream.

    def _may_lead(self, is_main: bool) -> bool:
        return is_main or not self._main_waits

    def _lead(self, is_main: bool) -> None:
        """Read the stream once, as the only thread that does."""
        held = None
        try:
            self._send()
            with self._changed:
                idle = not self._running and not self._taken
                free = 1 + len(self._extra_runners) - len(self._running)
                known = self._run_times.overall if self._takes_many else None
                count = entries_to_take(known, self._calls_per_entry, free)
                idle_seconds = time.monotonic() - self._idle_since
            if self._should_yield():
                self._end()
                return
            wait = FIRST_LOOK_SECONDS if idle_seconds < FIRST_LOOK_SECONDS else LOOK_SECONDS
            held = self._store.take(count, wait)
            if held is None:
                self._end()
            elif not held and idle and is_main:
                self._leave_if_idle(idle_seconds)
        except Exception as error:
            self._fail(error)
        finally:
            now = time.monotonic()
            with self._changed:
                self._leader = None
                for entry, frame in held or ():
                    self._receive(entry, frame, now)
                self._changed.notify_all()

    def _receive(self, entry: int, frame: bytes, now: float) -> None:
        place = places.call(self._ref.session, self._ref.executor, self._queue, entry)
        try:
            calls = decode_calls(self._seal.open(Direction.CALL, place, frame))
        except DistexecError as error:
            logger.warning("Entry %d of %s put aside: %s", entry, self._queue, error)
            self._finished.append(entry)
            return
        self._open_entries[entry] = len(calls)
        self._calls_per_entry += 0.2 * (len(calls) - self._calls_per_entry)
        self._take_many(all(call.flags & CallFlag.SHORT for call in calls))
        self._taken.extend(_Taken(entry, call, now) for call in calls)

    def _take_many(self, many: bool) -> None:
        """Take several entries at a time, or one; the caller hears of it before the next reply."""
        if many is not self._takes_many:
            self._takes_many = many
            kind = ReplyKind.TAKES_MANY if many else ReplyKind.TAKES_ONE
            number = int(self._ref.executor)
            self._outbox.append(Reply(number, kind, 0, 0.0, 0.0, self._name.encode()))

    def _leave_if_idle(self, idle_seconds: float) -> None:
        if idle_seconds < self._settings.linger_seconds and not self._others_wait():
            return
        if self._store.leave(force=False):
            self._end()

    def _fail(self, error: Exception) -> None:
        """End, since the store cannot be spoken to: somebody else answers for what is held."""
        with self._changed:
            self._failure = self._failure or error
            self._ended = True
            self._taken.clear()
            self._changed.notify_all()

    def _end(self) -> None:
        """Take nothing more; hand back what did not start."""
        with self._changed:
            self._ended = True
            self._return_unstarted(older_than=None)
            self._changed.notify_all()

    # Replies.

    def _send(self) -> None:
        """Send the outbox and acknowledge what is finished, both or neither."""
        with self._sending:
            with self._changed:
                replies, self._outbox = self._outbox, []
                finished, self._finished = self._finished, []
                self._outbox_bytes = 0
            if replies or finished:
                self._reply(replies, finished)

    def _reply(self, replies: list[Reply], finished: list[int]) -> None:
        frame = None
        if replies:
            place = places.reply(self._ref.session)
            frame = self._seal.seal(Direction.REPLY, place, encode_replies(replies))
        try:
            heard = self._store.reply(frame, finished)
        except Exception as error:
            self._fail(error)
            return
        if not heard:
            with self._changed:
                # Somebody else answers for this lease's calls now.
                self._ended = True
                self._taken.clear()
                self._changed.notify_all()

    def _post(self, reply: Reply) -> None:
        """Send a reply that ends no call."""
        with self._changed:
            if not self._outbox:
                self._outbox_since = time.monotonic()
            self._outbox.append(reply)
            self._outbox_bytes += len(reply.payload)
            self._busy.set()

    def _must_announce(self, running: _Running) -> bool:
        call = running.taken.call
        known = self._run_times.get(call.function_id)
        return (
            known is None
            or known.mean > ANNOUNCE_SECONDS
            or bool(call.flags & (CallFlag.SUSPECT | CallFlag.ALONE))
        )

    def _announce(self, started: list[_Running]) -> None:
        with self._changed:
            for running in started:
                running.announced = True
                call = running.taken.call
                self._outbox.append(
                    Reply(call.number, ReplyKind.STARTED, call.attempt, 0.0, 0.0, b"")
                )
        self._send()

    # The keeper.

    def _keep(self) -> None:
        pause: float | None = None
        while not self._stop_keeper.is_set():
            self._busy.wait(pause)
            self._busy.clear()
            # However often calls start: not more looks than these.
            self._stop_keeper.wait(KEEPER_SECONDS)
            try:
                pause = self._look_after()
            except Exception as error:
                self._fail(error)

    def _look_after(self) -> float | None:
        """Do what is due.

        Returns:
            Seconds until the next look; ``None``: when the next call starts.
        """
        now = time.monotonic()
        with self._changed:
            started = [
                running
                for running in self._running.values()
                if not running.announced and now - running.started_at > RETURN_AFTER_SECONDS
            ]
            room = self._room_for(now)
            late = bool(self._outbox) and now - self._outbox_since > REPLY_DELAY_SECONDS
            expects = bool(self._outbox or self._taken) or any(
                not running.announced for running in self._running.values()
            )
            quiet = QUIET_SECONDS if self._running else None
        if started:
            self._announce(started)
        elif late:
            self._send()
        if not (room and self._add_runners(room)):
            with self._changed:
                if self._is_held_up(now):
                    self._return_unstarted(older_than=now - RETURN_AFTER_SECONDS)
        if expects:
            return 0.0
        return quiet if self._spec.sharing is Sharing.NEVER or not quiet else ROOM_SECONDS

    def _is_held_up(self, now: float) -> bool:
        """Whether every running call is slow, so that what was taken will not start soon.

        Nobody else could start it where calls run one at a time, and their order would be lost.
        """
        return (
            self._spec.limit > 1
            and bool(self._running)
            and all(
                now - running.started_at > RETURN_AFTER_SECONDS
                for running in self._running.values()
            )
        )

    def _return_unstarted(self, older_than: float | None) -> None:
        """Move calls that wait in this lease's hands back to their caller."""
        while self._taken and (older_than is None or self._taken[0].taken_at < older_than):
            taken = self._taken.popleft()
            call = taken.call
            reply = Reply(
                call.number, ReplyKind.RETURNED, call.attempt, 0.0, 0.0, pack_entry(taken.entry)
            )
            self._answer(taken.entry, reply, time.monotonic())

    def _room_for(self, now: float) -> int:
        """How many runners to add: some, if every running call only waits."""
        if self._ended or not self._running or self._spec.sharing is Sharing.NEVER:
            return 0
        for running in self._running.values():
            if running.taken.call.flags & (CallFlag.SUSPECT | CallFlag.ALONE):
                return 0
            elapsed = now - running.started_at
            cpu = _cpu_time(running.clock) - running.cpu_started
            if not is_waiting(self._spec.sharing, elapsed, cpu):
                return 0
        return runners_to_add(len(self._running), self._spec.limit)

    def _add_runners(self, room: int) -> int:
        """Start up to *room* threads, as many as have something to do and may run."""
        with self._changed:
            idle = 1 + len(self._extra_runners) - len(self._running)
            needed = len(self._taken)
        needed = min(room, needed + self._store.backlog() - idle)
        if needed <= 0:
            return 0
        with self._changed:
            wanted = 1 + len(self._extra_runners) + needed
        granted = self._store.widen(wanted, self._spec.limit)
        with self._changed:
            added = max(0, granted - 1 - len(self._extra_runners))
            for _ in range(added):
                thread = threading.Thread(
                    target=self._run_beside, name="distexec-runner", daemon=True
                )
                thread.start()
                self._extra_runners[thread.ident or 0] = thread
        return added

    def _should_retire(self, idle_since: float) -> bool:
        overall = self._run_times.overall
        computing = overall is not None and overall.cpu_share > COMPUTING_SHARE
        return (
            computing and bool(self._running)
        ) or time.monotonic() - idle_since > RUNNER_LINGER_SECONDS

    def _narrow(self) -> None:
        """Give back what a runner that ended was granted."""
        with self._changed:
            wanted = 1 + len(self._extra_runners)
        with contextlib.suppress(DistexecError):
            self._store.widen(wanted, self._spec.limit)

    def _fetch_function(self, function_id: bytes) -> memoryview | None:
        frame = self._store.function(function_id)
        if frame is None:
            return None
        place = places.function(self._ref.session, self._ref.executor, function_id)
        return self._seal.open(Direction.STORED, place, frame)


def _cpu_clock() -> int | None:
    """The clock of the calling thread's processor time; ``None`` where threads have none."""
    try:
        return time.pthread_getcpuclockid(threading.get_ident())
    except (AttributeError, OSError):  # macOS has no such clock.
        return None


def _cpu_time(clock: int | None) -> float:
    """Processor seconds of another thread, by its clock (else of the process)."""
    return time.process_time() if clock is None else time.clock_gettime(clock)
