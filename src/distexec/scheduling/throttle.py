"""When a cluster has enough: callers slow down before it breaks, and not at each other's whim.

A figure that rises above its upper threshold throttles; only when it falls below the lower one is
it over. Between the two nothing changes, so that noise does not make a crowd start and stop.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Where throttling begins, and where it ends."""

    upper: float
    lower: float

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise ValueError(f"lower ({self.lower:g}) must be less than upper ({self.upper:g})")


#: Shares from 0 to 1, and seconds.
DEFAULTS: Mapping[str, Threshold] = {
    #: Of all processors of the nodes, by everybody. Full is what they are for: they are sent no
    #: less, but what is submitted beyond that would only wait.
    "cpu": Threshold(upper=0.98, lower=0.90),
    #: Of the memory of the fullest node.
    "memory": Threshold(upper=0.92, lower=0.85),
    #: Seconds that what waits will keep the slots busy.
    "backlog_seconds": Threshold(upper=60.0, lower=30.0),
    #: Of the server's own memory, where it has a limit.
    "server_memory": Threshold(upper=0.85, lower=0.75),
}


def figures_of(
    loads: Iterable[Mapping[str, float]],
    *,
    backlog_seconds: float = 0.0,
    server_memory: float = 0.0,
) -> dict[str, float]:
    """Return the figures that `Throttle.update` takes.

    Args:
        loads: Of each node, as it reports it: ``processors``, ``cpu`` (the share of them in use),
            ``memory_limit`` and ``memory_available``. A node that does not tell has room.
        backlog_seconds: How long what waits will keep the slots busy.
        server_memory: Share of the server's memory that is in use; 0 where it has no limit.
    """
    processors = busy = fullest = 0.0
    for load in loads:
        processors += load.get("processors", 0.0)
        busy += load.get("processors", 0.0) * load.get("cpu", 0.0)
        limit = load.get("memory_limit", 0.0)
        if limit > 0:
            fullest = max(fullest, 1.0 - load.get("memory_available", limit) / limit)
    return {
        "cpu": busy / processors if processors else 0.0,
        "memory": fullest,
        "backlog_seconds": backlog_seconds,
        "server_memory": server_memory,
    }


def room_under_pressure(most: int, in_flight: int) -> int:
    """How many calls may wait in a caller that is throttled.

    As many as are in flight: so calls follow as fast as others end, nobody runs dry, and no heap
    grows. One always, so that it never stops quite.

    Args:
        most: As many may wait otherwise.
    """
    return max(1, min(most, in_flight))


class Throttle:
    """Remembers which figures are above their threshold. Not thread-safe.

    Args:
        thresholds: By the figure's name; those not given are never too much.
    """

    def __init__(self, thresholds: Mapping[str, Threshold] = DEFAULTS) -> None:
        self._thresholds = dict(thresholds)
        self._above: set[str] = set()

    def update(self, figures: Mapping[str, float]) -> bool:
        """Take the newest *figures*; return whether to slow down. A missing one counts as low."""
        for name, threshold in self._thresholds.items():
            value = figures.get(name, 0.0)
            if value >= threshold.upper:
                self._above.add(name)
            elif value < threshold.lower:
                self._above.discard(name)
        return bool(self._above)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The names of the figures that are too high."""
        return tuple(sorted(self._above))
