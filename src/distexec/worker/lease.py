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

Its parts are told in `distexec.worker.hands` (what is taken and running), ``outbox``, ``reader``,
``runners``, ``keeper`` and ``contact``; here is what happens between them.

While the server is away the lease runs what it holds and keeps the replies, as long as they may
still count. A lease that was ended from outside is *void*: its calls were given to others, so what
it has to say is not heard, and what it still runs is run for nobody.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from distexec.errors import CallKilled, DistexecError
from distexec.scheduling.batching import COMPUTING_SHARE
from distexec.scheduling.run_times import RunTimes
from distexec.settings import Settings
from distexec.store.port import ExecutorRef, LeaseStore
from distexec.wire.blobs import BlobRef, StoredResult
from distexec.wire.compression import Codec, best
from distexec.wire.payload import Parts
from distexec.wire.records import Envelope, ExecutorSpec, Reply, ReplyKind, Sharing, pack_entry
from distexec.wire.refusals import Refusals
from distexec.wire.seal import LARGEST_BATCH, Seal
from distexec.worker import context
from distexec.worker.blobs import LeaseBlobs
from distexec.worker.contact import PASSING, Contact
from distexec.worker.hands import RETURN_AFTER_SECONDS, Hands, Running, Taken
from distexec.worker.keeper import Keeper
from distexec.worker.limit import TimeLimit, Watchdog, raise_in
from distexec.worker.outbox import Outbox
from distexec.worker.reader import Reader
from distexec.worker.run import Functions, execute, out_of_time, run_call, run_within
from distexec.worker.runners import Runners
from distexec.worker.usage import CpuMeter

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Seconds between two looks for room: waiting calls are known by then, and asking is not free.
ROOM_SECONDS = 0.02

#: Seconds until the next look where nothing is expected.
QUIET_SECONDS = 0.5

#: Known to last longer than this, a call says that it started before it does, since the keeper
#: is deaf while a call holds the interpreter's lock. One trip is a thousandth of such a call.
ANNOUNCE_SECONDS = 0.1

#: Seconds of an idle lease's first look at the stream, and of the later ones. Between two looks it
#: notices that others ask for its slot.
FIRST_LOOK_SECONDS = 0.05
LOOK_SECONDS = 0.25


#: Replies that give a call back to its caller, who knows what is missing.
GIVES_BACK = (ReplyKind.UNKNOWN_FUNCTION, ReplyKind.UNKNOWN_BLOB)


class Lease:
    """One lease of one executor, in the hands of this process.

    Args:
        others_wait: Whether somebody else asks for this slot; called while idle.
        should_yield: Whether the slot must be given back at the next call boundary.
        end_process: Ends this process and does not return, to stop what it runs for nobody;
            ``None`` where the process is not the lease's own.
        watchdog: Kills this process if a call outlasts its time limit; ``None`` where that would
            be somebody else's process.
        on_stuck: Called when a call was given up that goes on: `run` does not return for now.
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
        refusals: Refusals,
        end_process: Callable[[], None] | None = None,
        watchdog: Watchdog | None = None,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._name = store, name
        self._ref, self._queue, self._spec = ref, queue, spec
        self._node, self._seal, self._settings = node, seal, settings
        self._others_wait, self._should_yield = others_wait, should_yield
        self._end_process = end_process
        self._watchdog, self._on_stuck = watchdog, on_stuck
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        codec = min(Codec(spec.codec), best())
        seal.largest_body = int(settings.max_payload_bytes) + LARGEST_BATCH
        self._outbox = Outbox(store, seal, ref.session, codec)
        self._reader = Reader(store, seal, ref, queue, refusals)
        self._blobs = LeaseBlobs(store, seal, ref.session, refusals, codec)
        self._execute = partial(
            execute,
            functions=Functions(self._read_function),
            node=node,
            max_payload=settings.max_payload_bytes,
            fetch=self._fetch,
            keep=self._keep,
        )
        self._contact = Contact(settings.key_expiry_seconds)
        self._keeper = Keeper(self._look_after, self._fail)
        self._runners = Runners(store, spec, self._changed, self._run_beside)
        # All below is guarded by _changed.
        self._hands = Hands()
        self._has_leader = False
        self._main_waits = False
        self._ended = False
        self._is_void = False
        self._run_times = RunTimes()
        #: Whether the caller knows that several entries are taken at a time.
        self._takes_many = False
        self._idle_since = time.monotonic()
        self._calls_run = 0
        #: Whether what runs for nobody was told to stop.
        self._is_stopping = False
        #: Why the lease cannot tell its caller how its calls ended, if so.
        self._failure: Exception | None = None

    def run(self) -> None:
        """Serve until there is nothing to do, the slot is wanted back, or the lease is ended.

        Raises:
            Exception: The lease is lost with what it holds; the process must end, which tells.
        """
        self._keeper.start()
        try:
            self._run_calls()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._runners.join()
            self._keeper.stop()
            self._part()
        if self._failure is not None:
            raise self._failure

    def _part(self) -> None:
        """Say what is left to say, and leave, as soon as the server hears it."""
        self._tell_taking(False)
        while self._failure is None:
            self._send()
            if self._is_void or not self._outbox:
                try:
                    self._store.leave(force=True)
                    return
                except PASSING as error:
                    self._miss(error)
            time.sleep(self._contact.pause())
        if self._end_process is None:
            self._store.leave(force=True)  # Or else its node tells how it ended.

    @property
    def calls_run(self) -> int:
        """How many calls ran to their end here."""
        return self._calls_run

    # A runner's way: next, run, finish.

    def _run_calls(self) -> None:
        """Run calls on this thread, one after the other."""
        while (running := self._next()) is not None:
            if running.taken.is_short and self._spec.calls_per_child is None:
                self._run_short_calls(running)
                continue
            call = running.taken.call
            call_id = f"{self._ref.session}-{call.number}"
            context.running.call = context.CurrentCall(call_id, call.attempt)
            context.running.post = self._post
            context.running.fetch = self._fetch
            reply = self._run_within_limit(running) if call.timeout else self._run(call)
            context.running.call = context.running.post = context.running.fetch = None
            if os.getpid() != self._pid:
                os._exit(0)  # The call forked, and this is the child: only the parent answers.
            self._finish(running, reply)

    def _run(self, call: Envelope) -> Reply:
        """Run a call on this thread."""
        return run_call(call, self._execute)

    def _run_short_calls(self, running: Running) -> None:
        """Run *running*, and the short calls after it, on this thread.

        As `_next`, `run_call` and `_finish` do for others, but for what lasts longer than such a
        call itself: its processor time is the share that its predecessors used, and what was
        learned is written down at the end.
        """
        outbox, lock, session = self._outbox, self._lock, self._ref.session
        meter, learned = CpuMeter(running.started_at), []
        here = context.running
        here.post, here.fetch = self._post, self._fetch
        goes_on = True
        while goes_on:
            call, entry = running.taken.call, running.taken.entry
            here.call = context.CurrentCall(f"{session}-{call.number}", call.attempt)
            kind, payload = self._execute(call)
            if os.getpid() != self._pid:
                os._exit(0)  # The call forked, and this is the child: only the parent answers.
            now = time.monotonic()
            seconds = now - running.started_at
            cpu = meter.computed(seconds, now)
            if kind in GIVES_BACK:
                payload = pack_entry(entry) + payload
            else:
                learned.append((call.function_id, seconds, cpu))
            reply = Reply(call.number, kind, call.attempt, seconds, cpu, payload)
            with lock:
                outbox.answer(entry, reply, now)
                goes_on = not self._is_void and self._hands.start_next_short(running, now)
                if not goes_on:
                    self._hands.finish()
                    self._calls_run += len(learned)
                    self._idle_since = now
                    self._run_times.add_all(learned)
                    self._changed.notify_all()
            if outbox.is_due(now):
                self._send()
        here.call = here.post = here.fetch = None
        if outbox:
            self._send()

    def _run_within_limit(self, running: Running) -> Reply:
        """Run a call that has a time limit, on this thread."""
        call = running.taken.call
        place = f"node {self._node}, process {self._pid}"
        limit = TimeLimit(call.timeout, self._settings.grace_seconds, place)
        running.limit = limit
        self._keeper.wake()
        if self._watchdog is not None:
            self._watchdog.watch(call.number, limit.end)
        try:
            return run_within(limit, call, self._run)
        finally:
            if self._watchdog is not None:
                self._watchdog.rest()

    def _run_beside(self) -> None:
        """Run calls on an extra thread."""
        try:
            self._run_calls()
        except Exception as error:
            self._fail(error)

    def _next(self) -> Running | None:
        """Return the next call to run on this thread; ``None`` when this runner is done."""
        is_main, idle_since = self._runners.is_main(), time.monotonic()
        while True:
            with self._changed:
                running = self._start(is_main)
                if running is None:
                    if self._ended and not self._hands.taken:
                        return None
                    if not is_main and self._should_retire(idle_since):
                        self._runners.retire()
                        break
                    if self._ended or self._has_leader or self._may_not_lead(is_main):
                        self._main_waits = is_main
                        self._changed.wait(LOOK_SECONDS)
                        if is_main:
                            self._main_waits = False
                        continue
                    self._has_leader = True
            if running is not None:
                if self._must_announce(running):
                    self._announce([running])
                if not self._is_void and not self._outbox.is_void:
                    return running
                with self._changed:
                    self._hands.finish()  # Somebody else runs it.
                continue
            self._lead(is_main)
        self._runners.narrow()
        return None

    def _start(self, is_main: bool) -> Running | None:
        """Claim the next call for this thread."""
        hands = self._hands
        if not hands.taken:
            return None
        if self._main_waits and not is_main and not hands.running:
            # A call alone on its lease runs on the child's main thread.
            self._changed.notify_all()
            return None
        running = hands.start(is_main)
        if running is not None:
            if running.taken.runs_alone:
                self._return(hands.let_go())
            self._keeper.wake()
        return running

    def _may_not_lead(self, is_main: bool) -> bool:
        """Whether what this thread read would not be started, or by the wrong thread."""
        return self._hands.are_reserved or (self._main_waits and not is_main)

    def _finish(self, running: Running, reply: Reply) -> None:
        """Put the reply into the outbox, and send it unless others may travel with it."""
        now = time.monotonic()
        with self._changed:
            self._hands.finish()
            self._calls_run += 1
            if running.limit is not None and running.limit.abandoned:
                return
            if reply.kind in GIVES_BACK:
                entry = pack_entry(running.taken.entry)
                reply = reply._replace(payload=entry + bytes(reply.payload))
            else:
                function_id = running.taken.call.function_id
                self._run_times.add(function_id, reply.run_seconds, reply.cpu_seconds)
            self._outbox.answer(running.taken.entry, reply, now)
            must_send = not self._hands.taken or self._outbox.is_due(now)
            self._idle_since = now
            limit = self._spec.calls_per_child
            if limit is not None and self._calls_run >= limit:
                self._ended = True
                self._return(self._hands.let_go())
            if self._hands.running or self._hands.taken:
                self._changed.notify_all()
        if must_send:
            self._send()

    def _should_retire(self, idle_since: float) -> bool:
        overall, busy = self._run_times.overall, bool(self._hands.running)
        computing = busy and overall is not None and overall.cpu_share > COMPUTING_SHARE
        return self._runners.should_retire(idle_since, computing=computing)

    # The leader: reads the stream.

    def _lead(self, is_main: bool) -> None:
        """Read the stream once, as the only thread that does."""
        entries: list[tuple[int, Sequence[Envelope]]] | None = None
        try:
            self._send()
            if self._should_yield():
                self._end()
                return
            if pause := self._contact.pause():
                with self._changed:
                    self._changed.wait(pause)
                return
            with self._changed:
                idle = not self._hands.running and not self._hands.taken
                free = len(self._runners) - len(self._hands.running)
                idle_seconds = time.monotonic() - self._idle_since
            wait = FIRST_LOOK_SECONDS if idle_seconds < FIRST_LOOK_SECONDS else LOOK_SECONDS
            entries = self._reader.read(self._run_times.overall, free, wait)
            self._contact.heard()
            if entries is None:
                self._lose()
            elif not entries and idle and is_main:
                self._leave_if_idle(idle_seconds)
        except PASSING as error:
            self._miss(error)
        except Exception as error:
            self._fail(error)
        finally:
            now = time.monotonic()
            with self._changed:
                self._has_leader = False
                for entry, calls in entries or ():
                    self._outbox.expect(entry, len(calls))
                    self._hands.take(entry, calls, now)
                self._tell_taking(self._reader.takes_many)
                self._changed.notify_all()

    def _tell_taking(self, many: bool) -> None:
        """Let the caller know, before the next reply, how many entries are taken at a time."""
        if many is not self._takes_many:
            self._takes_many = many
            kind = ReplyKind.TAKES_MANY if many else ReplyKind.TAKES_ONE
            number = int(self._ref.executor)
            self._outbox.post(Reply(number, kind, 0, 0.0, 0.0, self._name.encode()))

    def _leave_if_idle(self, idle_seconds: float) -> None:
        if idle_seconds < self._settings.linger_seconds and not self._others_wait():
            return
        if self._store.leave(force=False):
            self._end()

    def _miss(self, error: Exception) -> None:
        """Try again later, unless the server has been away for too long."""
        if not self._contact.missed():
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End, since the store cannot be spoken to."""
        self._failure = self._failure or error
        self._lose()

    def _lose(self) -> None:
        """End without a word: somebody else answers for what is held."""
        with self._changed:
            self._ended = self._is_void = True
            self._hands.taken.clear()
            self._changed.notify_all()
        self._keeper.wake()

    def _end(self) -> None:
        """Take nothing more; hand back what did not start."""
        with self._changed:
            self._ended = True
            self._return(self._hands.let_go())
            self._changed.notify_all()

    # Replies.

    def _send(self) -> None:
        """Send the outbox; what the server does not hear now is sent again soon."""
        if self._contact.pause():
            return
        try:
            heard = self._outbox.send()
        except PASSING as error:
            self._miss(error)
        except Exception as error:
            self._fail(error)
        else:
            self._contact.heard()
            if not heard:
                self._lose()

    def _read_function(self, function_id: bytes) -> memoryview | None:
        """One of the executor's functions."""
        return self._patiently(lambda: self._reader.read_function(function_id))

    def _fetch(self, ref: BlobRef) -> memoryview:
        """A large value that a call uses."""
        return self._patiently(lambda: self._blobs.fetch(ref))

    def _keep(self, parts: Parts) -> StoredResult:
        """Put a large result beside its reply."""
        return self._patiently(lambda: self._blobs.keep(parts))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What the store answers, however long it takes while the call may count."""
        while True:
            try:
                answer = ask()
            except PASSING as error:
                self._miss(error)
                if self._is_void:
                    raise
                time.sleep(self._contact.pause())
            else:
                self._contact.heard()
                return answer

    def _post(self, reply: Reply) -> None:
        """Send a reply that ends no call."""
        self._outbox.post(reply)
        self._keeper.wake()

    def _must_announce(self, running: Running) -> bool:
        call = running.taken.call
        known = self._run_times.get(call.function_id)
        return known is None or known.mean > ANNOUNCE_SECONDS or running.taken.runs_alone

    def _announce(self, started: list[Running]) -> None:
        for running in started:
            running.announced = True
            call = running.taken.call
            self._outbox.post(Reply(call.number, ReplyKind.STARTED, call.attempt, 0.0, 0.0, b""))
        self._send()
        # The death of this process could not be charged to a suspect that is not known to run.
        while started[0].taken.runs_alone and self._outbox and not self._is_void:
            time.sleep(self._contact.pause())
            self._send()

    # The keeper looks.

    def _look_after(self) -> float | None:
        """Do what is due.

        Returns:
            Seconds until the next look; ``None``: when the next call starts.
        """
        now = time.monotonic()
        due_in = self._hold_to_limits(now)
        if pause := self._contact.pause():
            return min(pause, due_in)
        with self._changed:
            hands = self._hands
            unannounced = hands.unannounced()
            started = [each for each in unannounced if now - each.started_at > RETURN_AFTER_SECONDS]
            room = 0 if self._ended else self._runners.room_for(hands.running.values(), now)
            waiting, busy = len(hands.taken), len(hands.running)
            expects = bool(self._outbox or waiting or unannounced)
            quiet = QUIET_SECONDS if busy else None
        if busy and self._is_void:
            self._stop_running()
            return quiet
        if started:
            self._announce(started)
        elif self._outbox.is_due(now):
            self._send()
        elif busy and now - self._contact.heard_at > self._settings.beat_seconds:
            self._look_whether_void()
        if not (room and self._add_runners(room, waiting, busy)):
            with self._changed:
                # Nobody else could start it where calls run one at a time, and order would be lost.
                if self._spec.limit > 1:
                    self._return(self._hands.let_go_late(now))
        if expects:
            return 0.0
        if quiet is None:
            return None
        return min(due_in, quiet if self._spec.sharing is Sharing.NEVER else ROOM_SECONDS)

    def _add_runners(self, room: int, waiting: int, busy: int) -> int:
        try:
            return self._runners.add(room, taken=waiting, running=busy)
        except PASSING as error:
            self._miss(error)
            return 0

    def _look_whether_void(self) -> None:
        """Ask whether this lease still counts: its caller may be gone, or may think that it is."""
        try:
            counts = self._store.counts()
        except PASSING as error:
            self._miss(error)
            return
        self._contact.heard()
        if not counts:
            self._lose()

    def _stop_running(self) -> None:
        """Stop what runs for nobody: with the process, or else by raising in its threads, once."""
        if self._failure is not None or self._is_stopping:
            return
        self._is_stopping = True
        if self._end_process is None:
            with self._changed:
                for thread in self._hands.running:
                    raise_in(thread, CallKilled)
            self._on_stuck()
        else:
            logger.warning(
                "Calls of executor %s of session %s are stopped, with their process: their caller "
                "is gone, or has given them to others",
                *reversed(self._ref),
            )
            self._end_process()

    def _hold_to_limits(self, now: float) -> float:
        """Interrupt the call whose time is over; give it up if that is no use, and nobody kills.

        Returns:
            Seconds until the next look is needed.
        """
        with self._changed:
            running = next((each for each in self._hands.running.values() if each.limit), None)
        if running is None or running.limit is None:
            return QUIET_SECONDS
        left = running.limit.look(now)
        if left > 0:
            return left
        if self._watchdog is None:
            self._give_up(running, running.limit, now)
        return QUIET_SECONDS

    def _give_up(self, running: Running, limit: TimeLimit, now: float) -> None:
        """Answer for a call that goes on, and end the lease: its thread cannot be had back."""
        with self._changed:
            is_running = any(each is running for each in self._hands.running.values())
            if not is_running or limit.abandoned:
                return
            limit.abandoned = True
            reply = out_of_time(running.taken.call, limit)
            self._outbox.answer(running.taken.entry, reply, now)
        self._end()
        self._send()
        with contextlib.suppress(DistexecError):
            # Another slot may have its place.
            self._store.leave(force=True)
        self._on_stuck()

    def _return(self, unstarted: Iterable[Taken]) -> None:
        """Move calls that this lease took back to their caller."""
        for taken in unstarted:
            call, entry = taken.call, taken.entry
            reply = Reply(
                call.number, ReplyKind.RETURNED, call.attempt, 0.0, 0.0, pack_entry(entry)
            )
            self._outbox.answer(entry, reply, time.monotonic())
