"""How busy this machine and this node are, as far as a node may know: its container's limits count.

Read from the kernel once a beat: a few files for the host, and two for each child.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from distexec.engine.cgroup import ControlGroup

#: Seconds below which nothing is measured anew: a share of a moment says nothing.
_LEAST_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a node reports of itself and its host. Bytes, processors, and shares from 0 to 1."""

    #: Processors that the node may use; a fraction where its container is limited to one.
    processors: float
    #: Share of them that was in use since the last beat, by anybody.
    cpu: float
    #: Processors' worth of work by the node and its children since the last beat.
    node_cpu: float
    #: Processes that want to run, averaged over a minute, on the whole host.
    load_average: float
    memory_limit: int
    memory_available: int
    #: Resident memory of the node and its children; pages that they share count for each.
    node_memory: int

    def to_fields(self) -> dict[str, Any]:
        """As a node's record carries it: rounded, since it is sent every second."""
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


class LoadMeter:
    """Measures between one `read` and the next. Used by one thread.

    Args:
        group: Whose limits hold.
    """

    def __init__(self, group: ControlGroup | None = None) -> None:
        self._group = group or ControlGroup()
        self._host_processors = os.cpu_count() or 1
        self._processes: dict[int, psutil.Process] = {}
        #: Resident bytes of each process at the last look.
        self.memory: dict[int, int] = {}
        self._cpu_seconds: dict[int, float] = {}
        self._read_at = time.monotonic()
        self._group_seconds = self._group.cpu_seconds()
        self._last: Load | None = None
        psutil.cpu_percent(None)  # The first one has nothing to compare with.

    def read(self, pids: Iterable[int]) -> Load:
        """Return the load since the last call; that one's again, if it is a moment ago.

        Args:
            pids: The node's main process and its children.
        """
        now = time.monotonic()
        elapsed = now - self._read_at
        if self._last is not None and elapsed < _LEAST_SECONDS:
            return self._last
        elapsed = max(elapsed, 1e-3)
        self._read_at = now
        node_seconds, node_memory = self._read_processes(set(pids))
        processors, cpu = self._read_cpu(elapsed)
        memory, group = psutil.virtual_memory(), self._group.memory()
        limit, available = memory.total, memory.available
        if group is not None and group.limit < limit:
            limit, available = group.limit, min(available, max(0, group.limit - group.used))
        self._last = Load(
            processors=processors,
            cpu=min(1.0, cpu),
            node_cpu=node_seconds / elapsed,
            load_average=os.getloadavg()[0],
            memory_limit=limit,
            memory_available=available,
            node_memory=node_memory,
        )
        return self._last

    def _read_processes(self, pids: set[int]) -> tuple[float, int]:
        """Processor seconds since the last time, and resident bytes, of *pids*."""
        for pid in self._processes.keys() - pids:
            del self._processes[pid]
            self._cpu_seconds.pop(pid, None)
        seconds, self.memory = 0.0, {}
        for pid in pids:
            with contextlib.suppress(psutil.Error):  # Ended meanwhile.
                if pid not in self._processes:
                    self._processes[pid] = psutil.Process(pid)
                process = self._processes[pid]
                times = process.cpu_times()
                self.memory[pid] = process.memory_info().rss
                used = times.user + times.system
                seconds += max(0.0, used - self._cpu_seconds.get(pid, used))
                self._cpu_seconds[pid] = used
        return seconds, sum(self.memory.values())

    def _read_cpu(self, elapsed: float) -> tuple[float, float]:
        """Processors that may be used, and the share of them that was."""
        share = psutil.cpu_percent(None) / 100
        quota, used = self._group.processors(), self._group.cpu_seconds()
        if quota is None or quota >= self._host_processors or used is None:
            return float(self._host_processors), share
        before, self._group_seconds = self._group_seconds, used
        own = 0.0 if before is None else (used - before) / elapsed / quota
        # A container may be idle and yet get nothing, on a host that is full.
        return quota, max(own, share)
