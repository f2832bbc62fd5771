"""What an executor learned of its functions: how long calls last, and whether they compute."""

import threading
from collections.abc import Callable, Sequence

from distexec.client.calls import PendingCall
from distexec.scheduling.run_times import RunTime, RunTimes
from distexec.wire.records import CallFlag, Reply

#: What is learned of inputs in groups is kept apart, under the function's id and this.
_GROUPS = b" in groups"


class Learned:
    """The run times of one executor's functions.

    Args:
        slowdown: By how much longer calls with such a share of a processor last in a queue now than
            on idle machines.
    """

    def __init__(self, slowdown: Callable[[str, float], float] = lambda queue, share: 1.0) -> None:
        self._slowdown = slowdown
        self._lock = threading.Lock()
        self._run_times = RunTimes()
        #: By function and queue, as on idle machines.
        self._there = RunTimes()

    @property
    def mean(self) -> float | None:
        """Seconds that its calls last, whatever their function; ``None`` before the first ended."""
        overall = self._run_times.overall
        return None if overall is None else overall.mean

    @property
    def cpu_share(self) -> float | None:
        """Processor time over wall time of the calls that ended; ``None`` before the first."""
        overall = self._run_times.overall
        return None if overall is None else overall.cpu_share

    def add(self, function_id: bytes, run_seconds: float, cpu_seconds: float) -> None:
        """Remember how long a call of the function ran."""
        with self._lock:
            self._run_times.add(function_id, run_seconds, cpu_seconds)

    def add_all(self, ended: Sequence[tuple[PendingCall, Reply]]) -> None:
        """Remember how long calls ran that returned together."""
        singles, groups = [], []
        for call, reply in ended:
            if call.inputs == 1:
                singles.append((call.function[0], reply.run_seconds, reply.cpu_seconds))
            else:
                groups.append((call, reply))
        with self._lock:
            if singles:
                # One of those that returned together tells enough of their queue.
                call, reply = ended[-1]
                slow = self._slowdown(call.queue, self.cpu_share or 1.0)
                self._there.add(
                    call.function[0] + call.queue.encode(),
                    reply.run_seconds / slow / call.inputs,
                    reply.cpu_seconds / call.inputs,
                )
            self._run_times.add_all(singles)
            for call, reply in groups:
                self._run_times.add_group(
                    _kind(call), call.inputs, reply.run_seconds, reply.cpu_seconds
                )

    def run_time(self, call: PendingCall) -> RunTime | None:
        """How long *call* will last, whatever it carries; ``None`` while nobody knows."""
        known = self._run_times.get(_kind(call))
        return known if known is None or call.inputs == 1 else known.times(call.inputs)

    def run_time_in(self, function_id: bytes, queue: str) -> RunTime | None:
        """How long the function's calls last in *queue*, on idle machines."""
        return self._there.get(function_id + queue.encode())

    def run_times(self, function_id: bytes) -> tuple[RunTime | None, RunTime | None]:
        """What is known of the function's calls, and of one input in a group of them."""
        return self._run_times.get(function_id), self._run_times.get(function_id + _GROUPS)


def _kind(call: PendingCall) -> bytes:
    """Under which key run times of such calls are learned."""
    function_id = call.function[0]
    return function_id + _GROUPS if call.flags & CallFlag.GROUP else function_id
