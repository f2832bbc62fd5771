"""Lets a node follow what executors ask of its queues: its size, and who has its slots.

Celery's own autoscaler looks at the tasks that a worker has received, and a busy node of ours
receives none: what waits for it stands in the demand records.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from distexec.engine import flags, turns
from distexec.engine.membership import Membership
from distexec.scheduling.autoscale import Autoscale
from distexec.scheduling.shares import Shares
from distexec.store.connect import open_lease_store, open_node_store
from distexec.store.port import LeaseStore
from distexec.worker.demands import read_demands

logger = logging.getLogger(__name__)

#: Seconds between two looks.
_LOOK_SECONDS: Final = 1.0


class DemandWatch(threading.Thread):
    """Looks at the demand once a second; only where the node's options make use of it.

    Args:
        resize: Called in this thread with a number of slots that differs from the last one.
    """

    def __init__(self, node: str, membership: Membership, resize: Callable[[int], None]) -> None:
        super().__init__(name="distexec-demand", daemon=True)
        self._node, self._membership, self._resize = node, membership, resize
        bounds, weights = membership.options.autoscale, membership.options.queues
        self._autoscale = None if bounds is None else Autoscale(*bounds)
        self._shares = Shares(weights) if len(weights) > 1 else None
        self._target = 0
        self._stopped = threading.Event()

    @property
    def is_needed(self) -> bool:
        """Whether the node's options make use of it."""
        return self._autoscale is not None or self._shares is not None

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
                pids, unmet = books.holders(self._node), self._unmet(leases)
            except Exception as error:
                logger.debug("No demand can be read: %s", error)  # The heart says it aloud.
                continue
            self._follow(pids, unmet, time.monotonic())
        books.close()
        leases.close()

    def _follow(self, pids: set[int], unmet: dict[str, int], now: float) -> None:
        if self._shares is not None:
            held = turns.current.held(pids)
            given = self._shares.decide(flags.current.slots, held, unmet, now)
            turns.current.decide(given, pids)
        if self._autoscale is not None:
            missing = sum(unmet.values())
            slots = self._autoscale.decide(busy=len(pids), unmet=missing, now=now)
            if slots != self._target:
                self._target = slots
                logger.info("%d slots serve, %d more are asked for: %d", len(pids), missing, slots)
                self._resize(slots)

    def _unmet(self, store: LeaseStore) -> dict[str, int]:
        """Leases that executors ask for beyond those that they have, by queue."""
        seal, settings = self._membership.seal, self._membership.settings
        return {
            queue: sum(
                max(0, min(demand.wanted, demand.limit) - store.lease_count(ref))
                for ref, demand in read_demands(store, queue, seal, settings, flags.refusals)
            )
            for queue in self._membership.options.queues
        }
