"""The limits of this process's container, from its control group: version 2, else version 1.

``/proc`` shows a container the processors and the memory of its whole host. What it may use of them
stands in ``/sys/fs/cgroup``, where a container sees its own group as the root.
"""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes."""

    limit: int
    #: In use, without what the kernel gives back when it is needed.
    used: int


class ControlGroup:
    """Reads a group's files anew at each call; ``None`` where there is no limit."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root

    def processors(self) -> float | None:
        """How many processors' worth of time the group may use."""
        match self._words("cpu.max") or [
            *self._words("cpu/cpu.cfs_quota_us"),
            *self._words("cpu/cpu.cfs_period_us"),
        ]:
            case [quota, period] if quota not in ("max", "-1"):
                return int(quota) / int(period)
        return None

    def cpu_seconds(self) -> float | None:
        """Processor seconds that the group has used."""
        if (used := self._entry("cpu.stat", "usage_usec")) is not None:
            return used / 1e6
        words = self._words("cpuacct/cpuacct.usage")
        return int(words[0]) / 1e9 if words else None

    def memory(self) -> Memory | None:
        """The group's memory."""
        for folder, limit, used, cache in (
            ("", "memory.max", "memory.current", "inactive_file"),
            (
                "memory/",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            ),
        ):
            limits, uses = self._words(folder + limit), self._words(folder + used)
            if limits and uses and limits[0] != "max":
                given_back = self._entry(f"{folder}memory.stat", cache) or 0
                return Memory(int(limits[0]), max(0, int(uses[0]) - given_back))
        return None

    def _entry(self, file: str, name: str) -> int | None:
        words = self._words(file)
        return int(words[words.index(name) + 1]) if name in words else None

    def _words(self, file: str) -> list[str]:
        try:
            return (self._root / file).read_text(encoding="ascii").split()
        except OSError:
            return []
