"""One executor's way through a session: its window, its functions, its promises."""

import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from distexec.client.calls import CallOptions, CallState, PendingCall
from distexec.client.counters import Counters
from distexec.client.depot import StoredValue, Use
from distexec.client.futures import Future
from distexec.client.handle import Handle
from distexec.client.intake import Intake
from distexec.client.learned import Learned
from distexec.client.room import Room
from distexec.client.window import Window
from distexec.errors import ClusterError
from distexec.scheduling.batching import GroupSize, inputs_per_call
from distexec.scheduling.demand import WakeUps
from distexec.store.port import ExecutorRef, Held
from distexec.wire.records import Demand, ExecutorSpec, Sharing
from distexec.wire.values import PackedFunction

if TYPE_CHECKING:
    from distexec.client.session import Session

T = TypeVar("T")


class Outgoing(NamedTuple):
    """Entries for one call stream, sealed, and the values that nodes need before."""

    queue: str
    entries: list[Held]
    functions: list[tuple[bytes, bytes]]
    values: list[StoredValue]


class Channel:
    """Takes an executor's calls in, and knows when all of them are settled."""

    def __init__(self, session: "Session", ref: ExecutorRef, spec: ExecutorSpec) -> None:
        self.session, self.ref, self.spec = session, ref, spec
        self.pid = os.getpid()
        placing = session.placing
        self.window = Window(
            spec.limit, placing.choose, Learned(placing.slowdown, session.history.recall)
        )
        self.counters = Counters()
        self.intake = Intake(session, ref, self.counters)
        #: Held while calls are sent, so that entries are written in the order of their numbers.
        self.sending = threading.Lock()
        #: Functions that the server has, the least recently used first.
        self.functions: OrderedDict[bytes, None] = OrderedDict()
        #: Slots that serve the executor, and calls that they may run together, when last seen; and
        #: how many of the slots serve it from which queue.
        self.leases = self.threads = 0
        self.leases_by_queue: Mapping[str, int] = {}
        #: What each queue was last asked for, and the wake-ups for it.
        self.asked: dict[str, Demand] = {}
        self.wake_ups: dict[str, WakeUps] = {}
        self.warned = False
        #: Leases whose process was gone at the last look.
        self.missed: set[str] = set()
        #: When all calls without a worker were to be cancelled, if so.
        self.cancelling_since: float | None = None
        #: Whether the dispatcher was told that there is something to send.
        self.noticed = False
        #: Whether the executor was forgotten without a shutdown.
        self.dropped = False
        #: Entries to put that may have been written already: sent again as they are, never anew.
        self.outgoing: deque[Outgoing] = deque()
        #: Where calls wait, if their number is limited.
        self.room: Room | None = None
        #: Handles that the user holds.
        self._handles: weakref.WeakSet[Handle[Any]] = weakref.WeakSet()
        #: Taken by itself for each call: a condition takes and lets go of it in Python.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        #: Futures without an outcome, or whose callbacks still run.
        self._open_futures = 0
        self._closing = False
        self._broken: BaseException | None = None
        self._closed = threading.Event()

    @property
    def sharing(self) -> Sharing:
        """Whether the calls may share a process."""
        return self.spec.sharing

    def leases_outside(self, queue: str) -> int:
        """How many slots serve the executor from other queues than *queue*, when last seen."""
        return sum(count for name, count in self.leases_by_queue.items() if name != queue)

    @property
    def is_full(self) -> bool:
        """Whether its leases run as many calls as may run, when last seen: none more is admitted.

        Not if one of them has gone since.
        """
        seen = sum(self.leases_by_queue.values())
        return self.threads >= self.spec.limit and self.leases >= seen

    @property
    def broken(self) -> BaseException | None:
        """Why no call can be submitted any more, if so."""
        return self._broken

    def submit(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: CallOptions,
        *,
        inputs: int = 0,
        late: bool = False,
    ) -> Future[Any]:
        """Encode a call, let it wait its turn, and send what may go.

        Args:
            inputs: How many inputs of a `map` the one argument carries, by columns; 0 for a call.
            late: Take it also while the channel is closing: it is part of what was taken before.

        Raises:
            PayloadTooLarge: The arguments are above the limit.
            RuntimeError: The executor was shut down, or is broken.
        """
        future: Future[Any] = Future()
        held: list[Use] = []
        try:
            packed = self.intake.pack_function(function)
            payload = self.intake.pack_arguments(args, kwargs, held)
        except (KeyboardInterrupt, MemoryError):
            raise
        except Exception as error:
            self._check_open()
            self.counters.failed += 1
            future.set_exception(error)
            return future
        call = self.intake.call(function, packed, payload, held, future, options, inputs)
        if len(options.place.queues) > 1:
            self.session.placing.watch(options.place.queues)
        self._add(call, late=late)
        return future

    def resubmit(
        self,
        packed: PackedFunction,
        payload: bytes,
        options: CallOptions,
        *,
        label: str,
        stories: tuple[str, ...],
    ) -> Future[Any]:
        """Submit a call that was encoded before, by whomever.

        Args:
            stories: What became of its earlier attempts.

        Raises:
            RuntimeError: The executor was shut down, or is broken.
        """
        future: Future[Any] = Future()
        call = self.intake.encoded_call(
            packed, payload, future, options, label=label, stories=stories
        )
        self._add(call)
        return future

    def _add(self, call: PendingCall, *, late: bool = False) -> None:
        """Let *call* wait its turn, and send what may go."""
        call.future._attach(call, self)
        with self._lock:
            if not late:
                self._check_open()
            elif self._broken is not None:
                raise self._broken
            self._open_futures += 1
            first = self.window.add(call)
        self.session.dispatch(self, at_once=first)

    def group_size(self, function: Callable[..., Any], most: int) -> GroupSize:
        """How many inputs of a `map` to send together next, *most* unless that is too few."""
        if self.room is not None:
            return GroupSize(1)
        try:
            function_id = self.intake.pack_function(function).function_id
        except Exception:
            return GroupSize(1)  # The call itself will tell.
        single, grouped = self.window.learned.run_times(function_id)
        if single is not None and not single.tells(self.spec.limit):
            return GroupSize(1, is_guess=True)
        return inputs_per_call(single, grouped, most)

    def put(self, value: T) -> Handle[T]:
        """Keep *value* for the calls to come.

        Raises:
            NotPicklable: It cannot be sent; the message has the path to the part that cannot.
            PayloadTooLarge: It is above the limit.
            RuntimeError: The executor was shut down, or is broken.
        """
        if isinstance(value, Handle):
            return value
        parts = self.intake.pack_value(value)
        self._check_open()
        use = self.session.depot.put(parts)
        handle: Handle[T] = Handle(use.value.ref, use.value)
        with self._changed:
            self._check_open()
            self._handles.add(handle)
        try:
            # Now, and not with the first call: a function that has the handle in it may be first.
            self.session.depot.send(use.value)
        except ClusterError as error:
            self.session.lost_server(error)
        self.intake.count(use)
        return handle

    def send_handles(self) -> None:
        """Put the values of all handles on the server that are not there.

        Raises:
            ClusterError: The server does not answer.
        """
        for handle in list(self._handles):
            value = handle._holder()
            if value is not None:
                self.session.depot.send(value)

    def _check_open(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._closing:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def revoke(self, call: PendingCall) -> bool:
        """Take *call* back, from here or from its stream; True only if it will never run."""
        cancelled = self.window.cancel(call)
        if not cancelled and call.state is CallState.SENT:
            # Held, so that it cannot be sent again before it is cancelled here.
            with self.window.held():
                self.session.recall(self, self.window.entries_to_recall(call))
                cancelled = self.window.cancel(call)
            self.session.dispatch(self, at_once=False)
        if cancelled:
            if self.window.gates:
                self.session.dispatcher.notify()
            self.counters.cancelled += 1
            self.notice_room()
            self.settled(1)
        return call.state is CallState.CANCELLED

    def rest(self, call: PendingCall, until: float, story: str) -> bool:
        """Let *call*, whose last attempt ended as *story* says, wait for its next one.

        False if the executor is broken: nothing runs any more.
        """
        with self._changed:
            if self._broken is not None:
                return False
            call.next_attempt(story)
            self.window.rest(call, until)
        call.future._mark_waiting()
        self.counters.retried += 1
        self.session.dispatcher.notify()
        return True

    def kill(self, call: PendingCall) -> bool:
        """Stop *call*, with its process if it runs; True only if it will not deliver."""
        return self.session.losses.kill(self, call)

    def cancel_unstarted(self) -> None:
        """Cancel every call that would not run by now: all but as many as may run together.

        Those were sent and start any moment, as what is in the standard pool's call queue does.
        If they do not, the warden cancels them as well: there may be no worker.
        """
        self.cancelling_since = time.monotonic()
        self.cancel_younger(self.spec.limit)

    def cancel_younger(self, spared: int) -> None:
        """Cancel the calls that no worker has, but the *spared* oldest ones."""
        with self.window.held():
            self.session.recall(self, self.window.entries_younger(spared))
            for call in self.window.waiting():
                call.future.cancel()
        self.session.dispatch(self, at_once=False)

    def cancel_waiting_for(self, queue: str) -> None:
        """Cancel the calls that no worker has, and that may go to *queue* only."""
        with self.window.held():
            entries = [entry for entry in self.window.entries() if entry[0] == queue]
            self.session.recall(self, entries)
            for call in self.window.waiting():
                if call.place.queues == (queue,):
                    call.future.cancel()
        self.session.dispatch(self, at_once=False)

    def shut_down(self) -> None:
        """Take no more calls. The channel closes when its last one is settled."""
        with self._changed:
            self._closing = True
        self.notice_room()
        self.settled(0)

    def drop(self) -> None:
        """Shut down later, on the dispatcher's thread: a finalizer must not take locks."""
        self.dropped = True
        self.noticed = False
        self.session.dispatcher.notify(self)

    def join(self) -> None:
        """Wait until every call is settled, its callbacks ran, and the channel is closed."""
        if not self.session.callbacks.is_mine():
            self._closed.wait()
            self.session.join_if_closed()

    def break_with(self, error: BaseException) -> list[PendingCall]:
        """Take no more calls, and give up those not settled; the caller fails their futures."""
        with self._changed:
            if self._broken is None:
                self._broken = error
            given_up = self.window.drain()
        self.notice_room()
        return given_up

    def notice_room(self) -> None:
        """Let go on who waits for room, if anybody: fewer calls wait, or none is taken any more."""
        if self.room is not None:
            self.room.notice()

    def settled(self, count: int) -> None:
        """Note that *count* futures have their outcome, and their callbacks ran.

        After the last one a closing channel is closed.
        """
        with self._changed:
            self._open_futures -= count
            finished = self._closing and not self._open_futures
        if finished:
            self.session.retire(self)

    @property
    def is_closing(self) -> bool:
        """Whether the channel takes no more calls."""
        return self._closing

    def closed(self) -> None:
        """Note that the session has forgotten the channel."""
        for handle in self._handles:
            handle._close()
        self._closed.set()
