"""The lease loop: takes an executor's calls from its stream, runs them, and answers.

::

    call stream --take--> taken --start--> runner --finish--> outbox --reply--> reply stream
                            |                                   ^
                            +--return (unstarted for some ms)---+

    runner   A thread that runs calls: the child's main thread, and others when calls wait.
             One runner without a call leads: it reads the stream, and hands the calls out.
             So a call that arrives at an idle lease runs on the thread that received it.
    keeper   A thread that looks after the lease while calls run: it sends what finished, tells
             what started, returns what cannot start, and makes room when all calls wait. Where
             the end of a call can be foreseen it takes the next one before.

Here is the runner's way. What all threads share is told in `distexec.worker.standing`, what the
leading one does in ``leader``, what the keeper does in ``overseer``, and their parts in ``hands``
(what is taken and running), ``outbox``, ``reader``, ``reserving``, ``runners``, ``keeper`` and
``contact``.

While the server is away the lease runs what it holds and keeps the replies, as long as they may
still count. A lease that was ended from outside is *void*: its calls were given to others, so what
it has to say is not heard, and what it still runs is run for nobody.
"""

import enum
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from distexec.scheduling.histogram import Histogram
from distexec.scheduling.run_times import COMPUTING_SHARE
from distexec.settings import Settings
from distexec.store.lease_port import LeaseStore
from distexec.store.port import ExecutorRef
from distexec.wire.blobs import BlobRef, StoredResult
from distexec.wire.compression import Codec, best
from distexec.wire.payload import Parts
from distexec.wire.records import Envelope, ExecutorSpec, Reply, ReplyKind, pack_entry, record
from distexec.wire.refusals import Refusals
from distexec.wire.seal import LARGEST_BATCH, Seal
from distexec.worker import context
from distexec.worker.blobs import LeaseBlobs
from distexec.worker.hands import Running
from distexec.worker.keeper import Keeper
from distexec.worker.leader import LOOK_SECONDS, Leader
from distexec.worker.limit import TimeLimit, Watchdog
from distexec.worker.outbox import DELAY_SECONDS, GATHERING_SECONDS, Outbox
from distexec.worker.overseer import Overseer
from distexec.worker.reader import Reader
from distexec.worker.reserving import Reserving
from distexec.worker.run import Execution, Functions, run_call, run_within
from distexec.worker.runners import Runners, is_expected_to_wait
from distexec.worker.standing import Standing
from distexec.worker.usage import CpuMeter

#: Replies that give a call back to its caller, who knows what is missing.
GIVES_BACK = (ReplyKind.UNKNOWN_FUNCTION, ReplyKind.UNKNOWN_BLOB)


class Turn(enum.Enum):
    """What a thread without a call does next."""

    LEAD = "read the stream"
    LOOK = "look again: it was woken, or waited for long enough"
    RETIRE = "leave: an extra thread that is not needed"
    END = "leave: the lease has ended"


class Lease:
    """One lease of one executor, in the hands of this process.

    Args:
        others_wait: Whether somebody else asks for this slot; called while idle.
        should_yield: Whether the slot must be given back at this call boundary, given whether
            nothing else runs in it.
        end_process: Ends this process and does not return, to stop what it runs for nobody;
            ``None`` where the process is not the lease's own.
        watchdog: Kills this process if a call outlasts its time limit; ``None`` where that would
            be somebody else's process.
        tally: Counts how long calls ran.
        on_function: Called with each function that is not the one before.
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
        should_yield: Callable[[bool], bool],
        refusals: Refusals,
        tally: Histogram,
        on_function: Callable[[Callable[..., Any]], None] | None = None,
        end_process: Callable[[], None] | None = None,
        watchdog: Watchdog | None = None,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._ref, self._spec, self._settings = store, ref, spec, settings
        self._node, self._end_process, self._watchdog = node, end_process, watchdog
        self._pid = os.getpid()
        codec = min(Codec(spec.codec), best())
        seal.largest_body = int(settings.max_payload_bytes) + LARGEST_BATCH
        self._reader = Reader(store, seal, ref, queue, refusals)
        self._blobs = LeaseBlobs(store, seal, ref.session, refusals, codec)
        self._execution = Execution(
            Functions(self._read_function, on_function),
            node=node,
            max_payload=settings.max_payload_bytes,
            fetch=self._fetch,
            keep=self._keep,
        )
        self._keeper = Keeper()
        self._outbox = Outbox(store, seal, ref.session, codec)
        self._standing = Standing(store, self._outbox, self._keeper, tally, settings)
        self._lock, self._idle = self._standing.lock, self._standing.idle
        self._hands = self._standing.hands
        self._runners = Runners(store, spec, self._lock, self._run_beside)
        self._leader = Leader(
            *(store, name, ref, self._reader, self._standing, self._runners, settings),
            may_return=spec.limit > 1,
            others_wait=others_wait,
            should_yield=should_yield,
        )
        reserving = Reserving(spec, self._standing, self._runners, self._leader)
        self._overseer = Overseer(
            *(store, ref, spec, self._standing, self._runners, reserving, settings),
            is_watched=watchdog is not None,
            end_process=end_process,
            on_stuck=on_stuck,
        )
        #: The thread that is about to lead, if one is. Guarded by the lock.
        self._next_leader: int | None = None

    def run(self) -> None:
        """Serve until there is nothing to do, the slot is wanted back, or the lease is ended.

        Raises:
            Exception: The lease is lost with what it holds; the process must end, which tells.
        """
        standing = self._standing
        self._keeper.start(self._overseer.look, standing.fail)
        try:
            self._run_calls()
        finally:
            with self._lock:
                standing.has_ended = True
                self._idle.wake_all()
            standing.send()
            self._runners.join()
            self._keeper.stop()
            self._leader.tell_taking(False)
            if not standing.part() and self._end_process is None:
                self._store.leave(force=True)  # Or else its node tells how it ended.
        if standing.failure is not None:
            raise standing.failure

    @property
    def calls_run(self) -> int:
        """How many calls ran to their end here."""
        return self._standing.calls_run

    # A runner's way: next, run, finish.

    def _run_calls(self) -> None:
        """Run calls on this thread, one after the other."""
        while (running := self._next()) is not None:
            if running.taken.is_short and self._spec.calls_per_child is None:
                self._run_short_calls(running)
                continue
            call = running.taken.call
            context.running.call, context.running.session = call, self._ref.session
            context.running.post = self._standing.post
            context.running.fetch = self._fetch
            reply = self._run_within_limit(running) if call.timeout else self._run(call)
            context.running.call = context.running.post = context.running.fetch = None
            if os.getpid() != self._pid:
                os._exit(0)  # The call forked, and this is the child: only the parent answers.
            self._finish(running, reply)

    def _run(self, call: Envelope) -> Reply:
        """Run a call on this thread."""
        return run_call(call, self._execution)

    def _run_short_calls(self, running: Running) -> None:
        """Run *running*, and the short calls after it, on this thread.

        As `_next`, `run_call` and `_finish` do for others, but for what lasts longer than such a
        call itself: its processor time is the share that its predecessors used, and what was
        learned is written down at the end.
        """
        standing, outbox, lock, hands = self._standing, self._outbox, self._lock, self._hands
        execution, meter, learned = self._execution, CpuMeter(time.monotonic()), []
        here = context.running
        here.session, here.post, here.fetch = self._ref.session, standing.post, self._fetch
        goes_on, leads = True, False
        while goes_on:
            call, entry = running.taken.call, running.taken.entry
            here.call = call
            kind, payload = execution.run(call)
            if os.getpid() != self._pid:
                os._exit(0)  # The call forked, and this is the child: only the parent answers.
            now = time.monotonic()
            seconds = now - running.started_at
            cpu = meter.computed(seconds, now)
            if kind in GIVES_BACK:
                payload = pack_entry(entry) + payload
            else:
                learned.append((call.function_id, seconds, cpu))
            reply = record(Reply, (call.number, kind, call.attempt, seconds, cpu, payload))
            with lock:
                outbox.answer(entry, reply, now)
                goes_on = not standing.is_void and hands.start_next_short(running, now)
                if not goes_on:
                    hands.finish()
                    standing.calls_run += len(learned)
                    standing.idle_since = now
                    standing.ended_calls += learned
                    leads = self._lead_next()
                    if not leads and (hands.running or hands.taken):
                        self._idle.wake(1)
            if goes_on and outbox.is_due(now, GATHERING_SECONDS):
                standing.send()
                # The trip is not the next call's time: it would look as if it waited.
                running.started_at = time.monotonic()
                meter = CpuMeter(running.started_at)
        here.call = here.post = here.fetch = None
        if not leads:
            standing.send()
            standing.learn()

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
            self._standing.fail(error)

    def _next(self) -> Running | None:
        """Return the next call to run on this thread; ``None`` when this runner is done."""
        standing, hands = self._standing, self._hands
        is_main, idle_since = self._runners.is_main(), time.monotonic()
        while True:
            turn = self._find_turn(is_main, idle_since)
            if isinstance(turn, Running):
                if standing.must_announce(turn):
                    standing.announce([turn])
                if not standing.is_void and not self._outbox.is_void:
                    return turn
                with self._lock:
                    hands.finish()  # Somebody else runs it.
            elif turn is Turn.LEAD:
                self._leader.lead(is_main)
            elif turn is not Turn.LOOK:
                if turn is Turn.RETIRE:
                    self._runners.narrow()
                return None

    def _find_turn(self, is_main: bool, idle_since: float) -> Running | Turn:
        """Claim the next call for this thread; if there is none, say what it does instead."""
        with self._lock:
            running = self._start(is_main)
            if running is not None:
                return running
            if self._standing.has_ended and not self._hands.taken:
                return Turn.END
            if not is_main and self._should_retire(idle_since):
                self._runners.retire()
                return Turn.RETIRE
            if self._become_leader(is_main):
                return Turn.LEAD
            self._idle.wait(LOOK_SECONDS, is_main=is_main)
            return Turn.LOOK

    def _start(self, is_main: bool) -> Running | None:
        """Claim the next call for this thread."""
        hands = self._hands
        if not hands.taken:
            return None
        if self._idle.has_main and not is_main and not hands.running:
            # A call alone on its lease runs on the child's main thread.
            self._idle.wake(1)
            return None
        running = hands.start(is_main)
        if running is not None:
            if hands.end_reservation():
                self._outbox.start_reserved()
            if running.taken.runs_alone:
                self._standing.give_back(hands.let_go())
            if is_main and not self._leader.is_leading and len(self._runners) > 1:
                self._idle.wake(1)  # Nobody led while the main thread was on its way.
            self._keeper.wake(self._overseer.patience(running))
        return running

    def _become_leader(self, is_main: bool) -> bool:
        """Lead, unless what this thread read would not be started, or by the wrong thread."""
        if self._next_leader == threading.get_ident():
            self._next_leader = None
            return True
        if self._standing.has_ended or self._leader.is_leading or self._hands.are_reserved:
            return False
        if self._idle.has_main and not is_main:
            return False
        self._leader.is_leading = True
        return True

    def _lead_next(self) -> bool:
        """Lead, if this thread is the one to: what it has to tell leaves with its next look."""
        leader, hands = self._leader, self._hands
        if leader.is_leading or self._standing.has_ended or self._idle.has_main:
            return False
        if hands.taken or hands.are_reserved:
            return False
        leader.is_leading, self._next_leader = True, threading.get_ident()
        return True

    def _finish(self, running: Running, reply: Reply) -> None:
        """Put the reply into the outbox, and send it unless others may travel with it."""
        standing, hands, now = self._standing, self._hands, time.monotonic()
        with self._lock:
            hands.finish()
            standing.calls_run += 1
            goes_on = bool(hands.end_reservation())
            if goes_on:
                self._outbox.start_reserved()
            if running.limit is not None and running.limit.abandoned:
                return
            if reply.kind in GIVES_BACK:
                entry = pack_entry(running.taken.entry)
                reply = reply._replace(payload=entry + bytes(reply.payload))
            else:
                function_id = running.taken.call.function_id
                ended = function_id, reply.run_seconds, reply.cpu_seconds
                standing.ended_calls.append(ended)
            self._outbox.answer(running.taken.entry, reply, now)
            must_send = not hands.taken or self._outbox.is_due(now)
            standing.idle_since = now
            limit = self._spec.calls_per_child
            if limit is not None and standing.calls_run >= limit:
                standing.end()
            if hands.taken and (running.taken.runs_alone or hands.taken[0].runs_alone):
                self._idle.wake(len(hands.taken))
            if goes_on and hands.taken and is_expected_to_wait(hands.taken[0], standing.run_times):
                self._keeper.wake()  # It sends while that call waits.
                return
            if must_send and self._lead_next():
                return
        if must_send:
            standing.send(wait=False)
            if self._outbox:
                self._keeper.wake(DELAY_SECONDS)  # Who was sending may have looked before.
        standing.learn()

    def _should_retire(self, idle_since: float) -> bool:
        if self._next_leader == threading.get_ident():
            return False
        overall, busy = self._standing.run_times.overall, bool(self._hands.running)
        computing = busy and overall is not None and overall.cpu_share > COMPUTING_SHARE
        return self._runners.should_retire(idle_since, computing=computing)

    # What a running call asks of the server.

    def _read_function(self, function_id: bytes) -> memoryview | None:
        """One of the executor's functions."""
        return self._standing.patiently(lambda: self._reader.read_function(function_id))

    def _fetch(self, ref: BlobRef) -> memoryview:
        """A large value that a call uses."""
        return self._standing.patiently(lambda: self._blobs.fetch(ref))

    def _keep(self, parts: Parts) -> StoredResult:
        """Put a large result beside its reply."""
        return self._standing.patiently(lambda: self._blobs.keep(parts))
