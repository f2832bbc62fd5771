"""Lets a node follow what executors ask of its queues: its size, who has its slots, what is shown.

Celery's own autoscaler looks at the tasks that a worker has received, and a busy node of ours
receives none: what waits for it stands in the demand records.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from distexec.engine import display, flags, turns
from distexec.engine.membership import Membership
from distexec.scheduling.autoscale import Autoscale
from distexec.scheduling.shares import Shares
from distexec.store.connect import open_lease_store, open_node_store
from distexec.store.lease_port import LeaseStore
from distexec.store.port import NodeStore
from distexec.worker.demands import Asked, read_demands

logger = logging.getLogger(__name__)

#: What executors ask for, each with its queue.
Demands = list[tuple[str, Asked]]

#: Seconds between two looks.
_LOOK_SECONDS: Final = 1.0

#: Executors that are looked at, by chance where more ask: together they want more than a node has.
_MOST_DEMANDS: Final = 256


class DemandWatch(threading.Thread):
    """Looks at the demand once a second; only where the node's options make use of it.

    Args:
        resize: Called in this thread with a number of slots that differs from the last one.
        tell: Called in this thread after each look, where leases are shown.
    """

    def __init__(
        self,
        node: str,
        membership: Membership,
        resize: Callable[[int], None],
        tell: Callable[[], None],
    ) -> None:
        super().__init__(name="distexec-demand", daemon=True)
        self._node, self._membership = node, membership
        self._resize, self._tell = resize, tell
        bounds, weights = membership.options.autoscale, membership.options.queues
        self._autoscale = None if bounds is None else Autoscale(*bounds)
        self._shares = Shares(weights) if len(weights) > 1 else None
        self._target = 0
        self._stopped = threading.Event()

    @property
    def is_needed(self) -> bool:
        """Whether the node's options make use of it."""
        options = self._membership.options
        return bool(self._autoscale or self._shares or options.remote_control)

    def stop(self) -> None:
        """Tell the thread to end."""
        self._stopped.set()

    def run(self) -> None:
        """Look until stopped."""
        endpoint, settings = self._membership.endpoint, self._membership.settings
        books = open_node_store(endpoint, settings)
        leases = open_lease_store(endpoint, self._node, settings)
        while not self._stopped.wait(_LOOK_SECONDS):
            try:
                pids, demands = books.holders(self._node), self._demands(leases)
                self._follow(pids, _unmet(demands), time.monotonic())
                if self._membership.options.remote_control:
                    self._show(pids, demands, books)
            except Exception as error:
                logger.debug("No demand can be read: %s", error)  # The heart says it aloud.
        books.close()
        leases.close()

    def _follow(self, pids: set[int], unmet: Counter[str], now: float) -> None:
        if self._shares is not None:
            held = turns.current.held(pids)
            given = self._shares.decide(flags.current.slots, held, unmet, now)
            turns.current.decide(given, pids)
        if self._autoscale is not None:
            missing = unmet.total()
            slots = self._autoscale.decide(busy=len(pids), unmet=missing, now=now)
            if slots != self._target:
                self._target = slots
                logger.info("%d slots serve, %d more are asked for: %d", len(pids), missing, slots)
                self._resize(slots)

    def _show(self, pids: set[int], demands: Demands, books: NodeStore) -> None:
        """Let Celery's remote control and events show whom the slots serve."""
        asking = {asked.ref: (queue, asked.demand) for queue, asked in demands}
        served = {}
        for pid in pids:
            for ref, _ in books.leases_of(self._node, pid):
                if ref in asking:
                    queue, demand = asking[ref]
                    name = demand.name or f"{ref.session}/{ref.executor}"
                    served[pid] = display.Served(queue, name, demand.caller)
        display.current.update(served, turns.current.indexes())
        self._tell()

    def _demands(self, store: LeaseStore) -> Demands:
        seal, settings = self._membership.seal, self._membership.settings
        return [
            (queue, asked)
            for queue in self._membership.options.queues
            for asked in read_demands(
                *(store, queue, seal, settings, flags.refusals), most=_MOST_DEMANDS
            )
        ]


def _unmet(demands: Demands) -> Counter[str]:
    """Leases that executors ask for beyond those that they have, by queue."""
    unmet: Counter[str] = Counter()
    for queue, asked in demands:
        unmet[queue] += max(0, min(asked.demand.wanted, asked.demand.limit) - asked.leases)
    return unmet
