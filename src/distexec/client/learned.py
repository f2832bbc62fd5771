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
        recall: What earlier programs learned of a function in a queue.
    """

    def __init__(
        self,
        slowdown: Callable[[str, float], float] = lambda queue, share: 1.0,
        recall: Callable[[bytes, str], RunTime | None] = lambda function_id, queue: None,
    ) -> None:
        self._slowdown, self._recall = slowdown, recall
        self._lock = threading.Lock()
        self._run_times = RunTimes()
        #: By function and queue, as on idle machines; and those of which there is something new.
        self._there = RunTimes()
        self._news: dict[bytes, tuple[bytes, str, str]] = {}

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
                call, reply = next(pair for pair in reversed(ended) if pair[0].inputs == 1)
                slow = self._slowdown(call.queue, self.cpu_share or 1.0)
                key = self._key_there(call.function[0], call.queue)
                self._there.add(key, reply.run_seconds / slow, reply.cpu_seconds)
                self._news[key] = call.function[0], call.queue, call.label
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
        with self._lock:
            return self._there.get(self._key_there(function_id, queue))

    def take_news(self) -> list[tuple[bytes, str, str, RunTime]]:
        """What was learned since this was asked last: function, queue, the function's name."""
        with self._lock:
            news, self._news = self._news, {}
            found = [(*about, self._there.get(key)) for key, about in news.items()]
        return [
            (function_id, queue, label, known.times(1))
            for function_id, queue, label, known in found
            if known is not None
        ]

    def _key_there(self, function_id: bytes, queue: str) -> bytes:
        """The key of a function in a queue, with what is recalled of it."""
        key = function_id + queue.encode()
        if self._there.get(key) is None and (recalled := self._recall(function_id, queue)):
            self._there.put(key, recalled)
        return key

    def run_times(self, function_id: bytes) -> tuple[RunTime | None, RunTime | None]:
        """What is known of the function's calls, and of one input in a group of them."""
        return self._run_times.get(function_id), self._run_times.get(function_id + _GROUPS)


def _kind(call: PendingCall) -> bytes:
    """Under which key run times of such calls are learned."""
    function_id = call.function[0]
    return function_id + _GROUPS if call.flags & CallFlag.GROUP else function_id
