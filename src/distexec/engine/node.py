"""The part of distexec in a Celery worker's main process: it makes the worker a node.

Everything that forks or touches Celery's pool happens in the main thread, inside Celery's event
loop; the heart and the orders are threads that ask for it with ``hub.call_soon``.
"""

import contextlib
import gc
import logging
import os
import signal
import socket
import time
import weakref
from collections.abc import Callable
from typing import Any, Final

from billiard import process as billiard_process
from billiard.pool import RUN
from celery import Celery, bootsteps, signals
from celery.worker import state

from distexec.engine import flags, logs
from distexec.engine.demand_watch import DemandWatch
from distexec.engine.heart import Heart
from distexec.engine.lease_request import LeaseRequest
from distexec.engine.membership import Membership
from distexec.engine.orders import Orders
from distexec.engine.pulse import Pulse
from distexec.engine.wakeup import other_broker

logger = logging.getLogger(__name__)

#: Children forked in one go. Between two such steps those that are ready get their first lease.
_FORKS_AT_ONCE: Final = 4

#: A main thread that gives no sign for so many times the expiry of a node is stuck. Celery's own
#: longest stop is a reconnection to its broker, with pauses of two seconds.
_STUCK_EXPIRIES: Final = 5

#: Seconds between looks whether tasks of a host application wait for a slot, or a child is busy.
_LOOK_SECONDS: Final = 0.1

_memberships: "weakref.WeakKeyDictionary[Celery, Membership]" = weakref.WeakKeyDictionary()


def join(app: Celery, membership: Membership) -> None:
    """Make every worker of *app* a node of the cluster."""
    _memberships[app] = membership
    app.steps["worker"].add(Node)


class Node(bootsteps.StartStopStep):
    """A bootstep of the worker, from the birth of its pool to the end of its last call."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        global _node_here
        _node_here = self
        self._worker = worker
        self._membership = _memberships[worker.app]
        self._flags = flags.current
        self._flags.draining = self._flags.slots_wanted = False
        self._flags.slots = self._target = worker.concurrency
        self._is_ending = False
        self._server_clock = 0.0
        self._heart = Heart(
            worker.hostname,
            self._membership,
            describe=self._describe,
            on_death=lambda: self._in_main_thread(self._replace_dead),
            on_beat=self._on_beat,
        )
        # Below it lies whatever Celery does in one go; a broker that is away is no part of that.
        patience = _STUCK_EXPIRIES * self._membership.settings.node_expiry_seconds
        self._pulse = Pulse(lambda: self._in_main_thread(self._pulse.answer), patience)
        self._orders = Orders(
            worker.hostname,
            self._membership,
            obey=self._obey,
            clock=lambda: self._server_clock + time.monotonic(),
        )
        self._demand = DemandWatch(
            worker.hostname,
            self._membership,
            resize=self._resize,
            tell=lambda: self._in_main_thread(_tell_leases),
        )

    # -- the life of the worker, as Celery tells it ------------------------------------------------

    def start(self, worker: Any) -> None:
        """Watch the children that the pool has just made, and each that it will make."""
        processes = self._processes
        if processes is not None:
            for process in processes._pool:
                self._heart.adopt(process)
            create = processes._create_worker_process

            # The one place where a child is born: at the start, after a death and when growing.
            def create_and_adopt(index: int) -> Any:
                process = create(index)
                self._flags.slots = processes._processes
                self._heart.adopt(process)
                return process

            processes._create_worker_process = create_and_adopt
        self._heart.start()
        if self._demand.is_needed:
            self._demand.start()

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Arrange what the loop does for us; called again after each reconnection."""
        if self._membership.is_guest:
            hub.call_repeatedly(_LOOK_SECONDS, self._look_who_waits)

    def close(self, worker: Any) -> None:
        """Begin the end: leases give their slots back."""
        self._is_ending = True
        self._demand.stop()
        self.drain()

    def stop(self, worker: Any) -> None:
        """End in good order: the heart beats until the last call is done."""
        self.drain()
        if not self._membership.is_guest and self._processes is not None:
            self._finish_leases()
        # The pool's own step comes too late: it would find the heart stopped.
        worker.pool.stop()
        self._end()

    def terminate(self, worker: Any) -> None:
        """End at once."""
        worker.pool.terminate()
        self._end()

    def _end(self) -> None:
        self._orders.stop()
        self._heart.stop()

    def _finish_leases(self) -> None:
        """Wait for the last lease, then end the idle children.

        What billiard does instead looks twice a second, at one child after the other.
        """
        processes, hub = self._processes, self._worker.hub
        processes._processes = 0  # Those that die now are not replaced.
        try:
            while _is_busy(processes):
                # A child that was killed meanwhile says nothing that would wake the loop.
                hub.call_later(_LOOK_SECONDS, lambda: None)
                hub.run_once()
        except Exception as error:  # The broker is gone; billiard's way does without the loop.
            logger.warning("The node's end takes longer: %s", error)
            return
        for process in processes._pool:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        for process in processes._pool:
            process.join()
        processes._cache.clear()  # billiard would wait for the results of those that were killed.
        self._worker.pool.terminate()

    def drain(self) -> None:
        """End the node when every lease has given its slot back. Safe in a signal handler."""
        state.should_stop = 0  # type: ignore[assignment] # an exit code, or None
        self._flags.draining = True
        if not self._membership.is_guest:
            self._heart.kill_children_after(self._membership.settings.drain_seconds)
        self._heart.beat_now()

    # -- what the heart's thread asks --------------------------------------------------------------

    def _describe(self) -> dict[str, Any]:
        return {
            "queues": sorted(self._worker.app.amqp.queues.consume_from),
            "broker": other_broker(self._broker_url(), self._membership.endpoint),
            "slots": self._flags.slots,
            "refused": self._flags.refused,
            "state": "draining" if self._flags.draining else "serving",
        }

    def _broker_url(self) -> str:
        if not self._membership.is_guest:
            return self._membership.broker_url
        urls = self._worker.app.conf.broker_read_url or self._worker.app.conf.broker_url
        return str(urls if isinstance(urls, str) else (urls or [""])[0])

    def _on_beat(self, server_clock: float) -> None:
        self._server_clock = server_clock - time.monotonic()
        if not self._orders.ident:
            self._orders.start()  # Not before: without a clock it could not refuse stale orders.
        if self._is_ending:
            return
        if self._membership.is_supervised and self._pulse.is_stuck(time.monotonic()):
            logger.critical("The node's main thread is stuck: the supervisor starts another one")
            os.kill(os.getpid(), signal.SIGKILL)
        if self._flags.draining:
            self._in_main_thread(self._begin_end)
        elif self._flags.slots != self._target:
            self._in_main_thread(self._settle_size)

    def _obey(self, command: dict[str, Any]) -> None:
        match command:
            case {"do": "resize", "slots": int(slots)} if slots > 0:
                self._resize(slots)
            case {"do": "drain"}:
                self.drain()
            case {"do": "kill", "pids": [int(pid)], "signal": "KILL", "lease": str(lease)}:
                self._heart.kill_holder(pid, lease)
            case {"do": "kill", "pids": [*pids], "signal": "TERM" | "KILL" as name}:
                self._heart.signal_children(pids, signal.Signals[f"SIG{name}"])
            case _:
                logger.warning("A command that this version does not know: %r", command.get("do"))

    def _resize(self, slots: int) -> None:
        self._target = slots
        self._in_main_thread(self._settle_size)

    def _in_main_thread(self, action: Callable[[], None]) -> None:
        if self._worker.hub is not None:
            self._worker.hub.call_soon(action)

    # -- in the main thread ------------------------------------------------------------------------

    @property
    def _processes(self) -> Any:
        """billiard's pool; ``None`` for pools without processes, or after the end."""
        pool = getattr(self._worker.pool, "_pool", None)
        return pool if hasattr(pool, "_create_worker_process") else None

    def _replace_dead(self) -> None:
        """Reap and refill now; billiard's own look may be five seconds away."""
        processes = self._processes
        if processes is not None and processes._state == RUN:
            processes.maintain_pool()

    def _settle_size(self) -> None:
        """Approach the wanted number of slots: grow in steps, shrink by what is idle.

        The heart asks again after each step, with its beat, and each second while some are busy.
        """
        processes, consumer = self._processes, self._worker.consumer
        if processes is None or processes._state != RUN or self._flags.draining:
            return
        missing = self._target - processes._processes
        if missing > 0:
            step = min(missing, _FORKS_AT_ONCE)
            processes.restart_state.maxR += step  # Growth is no crash loop, but counts as one.
            processes.grow(step)
            processes.maintain_pool()
        elif any(process._controlled_termination for process in processes._pool):
            return  # billiard would count those that are about to end once more.
        else:
            step = -min(-missing, sum(1 for _ in processes._iterinactive()))
            if step:
                processes.shrink(-step)
        self._flags.slots = processes._processes
        if step:
            consumer._update_prefetch_count(step)
            self._heart.beat_now()

    def _begin_end(self) -> None:
        # Celery's loop looks once a second whether a signal or an order asked for its end.
        if not self._is_ending:
            state.maybe_shutdown()

    def _look_who_waits(self) -> None:
        # Accepted requests are reserved too; what is left waits for a slot that a lease may hold.
        waiting = len(state.reserved_requests) - len(state.active_requests)
        self._flags.slots_wanted = waiting > 0

    # -- in a new child ----------------------------------------------------------------------------

    def become_child(self) -> None:
        """Leave behind what belongs to the node's main process."""
        # Calls may use multiprocessing, which forbids children of daemons.
        billiard_process.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        if not self._membership.is_guest:
            logs.keep_warnings()
            _close_inherited_sockets()


def _tell_leases() -> None:
    """Send events of what leases do, where events are on."""
    for request in list(state.active_requests):
        if isinstance(request, LeaseRequest):
            request.tell()


def _is_busy(processes: Any) -> bool:
    """Whether a child that lives has something to do."""
    busy = {pid for job in list(processes._cache.values()) for pid in job.worker_pids()}
    return any(process.pid in busy and process.exitcode is None for process in processes._pool)


def _close_inherited_sockets() -> None:
    """Close the node's connections in a child.

    A copy that outlives the node, in a process that a call started, would keep the server waiting
    for the dead node's answer, with a message that nobody else gets. Only the descriptors are
    closed, through the socket objects: their owners' locks may be held by threads not forked.
    """
    for thing in gc.get_objects():
        # Not isinstance, which asks lazy proxies for their class, and so makes them load it.
        if issubclass(type(thing), socket.socket):
            thing.close()


@signals.worker_process_init.connect
def _on_child(**_: Any) -> None:
    if _node_here is not None:
        _node_here.become_child()


#: The node of this process or, in a child, of its parent.
_node_here: Node | None = None


def drain() -> None:
    """Let the node of this process end in good order. Safe in a signal handler."""
    if _node_here is not None:
        _node_here.drain()


def show_life() -> None:
    """Tell that the main thread works, though it may not come to its loop for a while.

    While connections break as soon as they are made, Celery does nothing but make new ones.
    """
    if _node_here is not None:
        _node_here._pulse.answer()
