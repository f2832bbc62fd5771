"""What executors ask of a queue, as far as this process can serve it."""

import json
from typing import NamedTuple

from distexec.errors import DistexecError, FrameRejected
from distexec.settings import Settings
from distexec.store.lease_port import LeaseStore
from distexec.store.port import ExecutorRef, KeyDamaged
from distexec.wire import places
from distexec.wire.compression import best
from distexec.wire.records import WIRE_VERSION, Demand
from distexec.wire.refusals import Refusals
from distexec.wire.seal import Direction, Seal


class Asked(NamedTuple):
    """What an executor asks of a queue, and how far it has it."""

    ref: ExecutorRef
    demand: Demand
    #: Leases that it has, over all queues.
    leases: int
    #: Entries of its call stream for the queue, taken or not.
    entries: int


def read_demands(
    store: LeaseStore, queue: str, seal: Seal, settings: Settings, refusals: Refusals, *, most: int
) -> list[Asked]:
    """The demands on *queue* that this process can serve; what only looks like one is removed.

    Args:
        most: Look at so many, by chance if there are more.

    Raises:
        ClusterError: The server does not answer.
    """
    try:
        now, asking = store.demands(queue, most)
    except KeyDamaged as error:
        refusals.note("A queue's demand", error)
        return []
    found = []
    for ref, frame, leases, entries in asking:
        try:
            place = places.demand(queue, ref.session, ref.executor)
            demand = Demand(**json.loads(bytes(seal.open(Direction.CONTROL, place, frame))))
            if abs(now - demand.at) > settings.session_expiry_seconds:
                raise FrameRejected("age: its executor would have written a newer one")
        except (DistexecError, ValueError, TypeError) as error:
            refusals.note("A demand", error)
            store.withdraw(queue, ref)
            continue
        if (
            demand.python == places.PYTHON
            and demand.wire == WIRE_VERSION
            and demand.codec <= best()
        ):
            found.append(Asked(ref, demand, leases, entries))
    return found
