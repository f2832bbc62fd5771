"""The one Celery task: it lends its slot to executors."""

import base64
import contextlib
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from billiard import process as billiard_process
from celery import Celery, Task

from distexec.engine import deadlines, display, flags, turns
from distexec.engine import tally as tallies
from distexec.engine.membership import Membership
from distexec.engine.wakeup import LEASE_TASK
from distexec.engine.wear import Wear
from distexec.errors import FrameRejected
from distexec.scheduling.histogram import Histogram
from distexec.store.lease_port import LeaseStore
from distexec.wire import places
from distexec.wire.seal import Direction
from distexec.worker import context

logger = logging.getLogger(__name__)

#: Seconds. Celery takes the first of the message's, the task's, the application's and the pool's
#: limit that is not zero or None, so "none" is the one thing that cannot be said. Ten years can.
NO_TIME_LIMIT: Final = 10 * 365 * 86400

#: Exit code by which billiard knows a child that asks to be replaced, as after its last task.
_RECYCLE: Final = 0x9B


class LeaseTask(Task):  # type: ignore[type-arg] # celery-types makes it generic, Celery does not
    """Settings that hold whatever the application's defaults are, None being a default's wish."""

    abstract = True
    acks_late = False
    acks_on_failure_or_timeout = True
    reject_on_worker_lost = False
    ignore_result = True
    store_errors_even_if_ignored = False
    track_started = False
    send_events = False
    max_retries = 0
    rate_limit = 0  # type: ignore[assignment] # 0 is none, and None the application's default
    serializer = "json"
    Request = "distexec.engine.lease_request:LeaseRequest"
    time_limit = NO_TIME_LIMIT
    soft_time_limit = NO_TIME_LIMIT

    @classmethod
    def annotate(cls) -> None:
        """Ignore ``task_annotations``: they are for the application's own tasks."""


def register_lease(app: Celery, membership: Membership) -> None:
    """Make *app* able to run leases of the cluster of *membership*."""

    def lease(self: LeaseTask, frame: str) -> None:
        # Whatever escapes to Celery ends the child, and a MemoryError the whole worker.
        try:
            must_go = _lend(self, frame, membership)
        except BaseException:
            must_go = True
            # A call may have left anything broken in this process, logging too.
            with contextlib.suppress(BaseException):
                logger.exception("A lease of %s ended early", self.request.hostname)
        if must_go:
            _make_room(self, frame)

    # Not shared: Celery would add it to every other application of this process.
    shown = membership.options.remote_control
    app.task(name=LEASE_TASK, bind=True, base=LeaseTask, shared=False, send_events=shown)(lease)


def _lend(task: LeaseTask, frame: str, membership: Membership) -> bool:
    """Serve executors in this slot; True if the process must be replaced then."""
    from distexec.worker.slot import Slot

    queue, node = _queue_of(task), str(task.request.hostname)
    try:
        sealed = base64.b64decode(frame, validate=True)
        membership.seal.open(Direction.CONTROL, places.wake_up(queue), sealed)
    except (FrameRejected, ValueError, TypeError) as error:
        flags.refusals.note("A wake-up", error)
        return False
    if not membership.is_guest:
        _restore_signals(interrupts=membership.is_supervised)
    context.settle_in(
        context.Home(
            membership.endpoint,
            membership.broker_url,
            membership.seal,
            membership.settings,
            node,
            os.getpid(),
        )
    )
    share, index = membership.share, _slot_index()
    tally = tallies.current.of_slot(index)
    wear = _wear(membership, tally)
    slot = Slot(
        queue,
        _store_of_this_slot(membership, node),
        node=node,
        seal=membership.seal,
        settings=membership.settings,
        share=None if share is None else max(1, int(share * flags.current.slots)),
        should_yield=lambda: _should_yield() or wear.is_worn_out or turns.current.is_over(index),
        end_process=_end_process_of(task, frame),
        refusals=flags.refusals,
        watchdog=_watchdog(),
        tally=tally,
        on_function=partial(display.current.note_function, index)
        if membership.options.remote_control
        else None,
    )
    turns.current.begin(index, queue)
    try:
        return slot.serve() or wear.is_worn_out
    finally:
        turns.current.end(index)


def _queue_of(task: LeaseTask) -> str:
    delivery: Any = task.request.delivery_info
    return str(delivery["routing_key"])


def _watchdog() -> deadlines.ChildWatchdog | None:
    """Whoever kills this process, if it is a child with a single slot."""
    # A child knows its place in the pool; billiard's types do not.
    if not hasattr(billiard_process.current_process(), "index"):
        return None
    if threading.current_thread() is not threading.main_thread():
        return None
    return deadlines.ChildWatchdog(_slot_index())


def _slot_index() -> int:
    """The number of this slot: a child's place in the pool, a thread's turn."""
    index: int | None = getattr(billiard_process.current_process(), "index", None)
    if index is not None:
        return index
    if not hasattr(_slot, "index"):
        _slot.index = next(_threads)
    number: int = _slot.index
    return number


def _wear(membership: Membership, tally: Histogram) -> Wear:
    """What wears out this process since its first lease."""
    if getattr(_slot, "worn_pid", None) != os.getpid():
        limit = membership.options.calls_per_child
        _slot.wear = Wear(_slot_index(), os.getpid(), tally, limit)
        _slot.worn_pid = os.getpid()
    wear: Wear = _slot.wear
    return wear


def _should_yield() -> bool:
    return flags.current.draining or flags.current.slots_wanted


#: The store of each slot: of a child process, or of a thread in a pool of threads.
_slot = threading.local()

#: Numbers the threads of a pool of threads.
_threads = itertools.count()


def _store_of_this_slot(membership: Membership, node: str) -> LeaseStore:
    from distexec.store.connect import open_lease_store

    if getattr(_slot, "pid", None) != os.getpid():
        _slot.store = open_lease_store(membership.endpoint, node, membership.settings)
        _slot.pid = os.getpid()
    store: LeaseStore = _slot.store
    return store


def _restore_signals(*, interrupts: bool) -> None:
    """Give calls, and the programs they start, the signals of an ordinary process.

    billiard makes SIGTERM raise SystemExit, which a call could swallow, and ignores SIGINT, which
    every program started by a call would inherit. It arranges that after Celery's hook for new
    children, so it is undone here.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    if interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _make_room(task: LeaseTask, frame: str) -> None:
    """End this child; the one that takes its place gets a wake-up of its own."""
    if end_process := _end_process_of(task, frame):
        end_process()


def _end_process_of(task: LeaseTask, frame: str) -> Callable[[], None] | None:
    """What ends this child, from any of its threads; ``None`` in a pool of threads."""
    if threading.current_thread() is not threading.main_thread():
        return None
    queue = _queue_of(task)

    def end_process() -> None:
        try:
            task.apply_async((frame,), queue=queue)
            for handler in logging.getLogger("distexec").handlers:
                handler.flush()
        except Exception as error:
            with contextlib.suppress(Exception):
                logger.warning("The next child waits for a caller to wake it: %s", error)
        finally:
            os._exit(_RECYCLE)

    return end_process
