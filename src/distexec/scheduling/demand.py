"""How many leases an executor asks for, and when the embedded cluster grows for it."""

from distexec.scheduling.run_times import COMPUTING_SHARE
from distexec.wire.records import Sharing

#: Calls of unknown nature that waited so many seconds for a slot are given more slots.
UNKNOWN_PATIENCE_SECONDS = 0.1


def slots_worth_having(
    *,
    outstanding: int,
    limit: int,
    sharing: Sharing,
    cpu_share: float | None,
    oldest_wait: float,
    slots: int,
    leases: int,
    threads: int,
    alone: int = 0,
) -> int:
    """How many slots would all have something to do for one executor.

    Args:
        outstanding: Calls that are not settled.
        limit: Most calls of the executor that run at the same time.
        sharing: Whether its calls may share a process.
        cpu_share: Processor time over wall time of its calls; ``None`` before the first ended.
        oldest_wait: Seconds that the oldest unstarted call has waited.
        slots: Slots that the cluster has now.
        leases: Slots that serve the executor now.
        threads: Calls that these may run at the same time: more than leases where calls wait.
        alone: Outstanding calls that want a process for themselves, whatever they do in it.
    """
    wanted = min(outstanding, limit)
    slots = max(slots, min(alone, limit))
    if sharing is Sharing.THREADS:
        return min(wanted, slots)
    if sharing is Sharing.LEARNED:
        if cpu_share is not None and cpu_share > COMPUTING_SHARE:
            return wanted
        # No call ended yet, those that run do not wait for something, and others wait for them.
        stuck = cpu_share is None and oldest_wait > UNKNOWN_PATIENCE_SECONDS
        if stuck and leases and threads <= leases:
            return min(wanted, max(slots, 2 * leases))
        return min(wanted, slots)
    return wanted


class WakeUps:
    """The wake-ups for one executor's calls of one queue: how many to send, and when again.

    Publishing and answering ten thousand takes seconds. So they are repeated once nobody has
    answered for a while, and not a while after they were sent: benchmarks/simulate.py.

    Args:
        repeat_seconds: Without another lease for so long, what is missing counts as lost.
    """

    def __init__(self, repeat_seconds: float) -> None:
        self._repeat_seconds = repeat_seconds
        #: Leases there will be when all wake-ups are answered; 0 if none is under way.
        self._expected = 0
        #: Most leases seen meanwhile, and when the last of them came.
        self._most = 0
        self._answered_at = 0.0
        #: Whether what is to be sent repeats what nobody answered.
        self.is_repeated = False

    def to_send(self, *, wanted: int, leases: int, now: float) -> int:
        """How many slots to wake: those wanted, less the leases, less the wake-ups under way."""
        if leases > self._most:
            self._most, self._answered_at = leases, now
        is_unanswered = leases < self._expected
        if not is_unanswered or now - self._answered_at > self._repeat_seconds:
            self._expected = 0
        missing = wanted - max(leases, self._expected)
        if missing <= 0:
            return 0
        self.is_repeated = is_unanswered and not self._expected
        self._expected, self._most, self._answered_at = wanted, leases, now
        return missing
