"""What an executor learned of its functions: how long calls last, and whether they compute."""

import threading
from collections.abc import Iterable

from distexec.client.calls import PendingCall
from distexec.scheduling.run_times import RunTime, RunTimes
from distexec.wire.records import CallFlag, Reply

#: What is learned of inputs in groups is kept apart, under the function's id and this.
_GROUPS = b" in groups"


class Learned:
    """The run times of one executor's functions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run_times = RunTimes()

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

    def add_all(self, ended: Iterable[tuple[PendingCall, Reply]]) -> None:
        """Remember how long calls ran that returned together."""
        singles, groups = [], []
        for call, reply in ended:
            if call.inputs == 1:
                singles.append((call.function[0], reply.run_seconds, reply.cpu_seconds))
            else:
                groups.append((call, reply))
        with self._lock:
            self._run_times.add_all(singles)
            for call, reply in groups:
                self._run_times.add_group(
                    _kind(call), call.inputs, reply.run_seconds, reply.cpu_seconds
                )

    def run_time(self, call: PendingCall) -> RunTime | None:
        """How long *call* will last, whatever it carries; ``None`` while nobody knows."""
        known = self._run_times.get(_kind(call))
        return known if known is None or call.inputs == 1 else known.times(call.inputs)

    def run_times(self, function_id: bytes) -> tuple[RunTime | None, RunTime | None]:
        """What is known of the function's calls, and of one input in a group of them."""
        return self._run_times.get(function_id), self._run_times.get(function_id + _GROUPS)


def _kind(call: PendingCall) -> bytes:
    """Under which key run times of such calls are learned."""
    function_id = call.function[0]
    return function_id + _GROUPS if call.flags & CallFlag.GROUP else function_id
