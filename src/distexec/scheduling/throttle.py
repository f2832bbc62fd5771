"""When a cluster has enough: callers slow down before it breaks, and not at each other's whim.

A figure that rises above its upper threshold throttles; only when it falls below the lower one is
it over. Between the two nothing changes, so that noise does not make a crowd start and stop.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Where throttling begins, and where it ends."""

    upper: float
    lower: float

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise ValueError(f"lower ({self.lower:g}) must be less than upper ({self.upper:g})")


#: Shares from 0 to 1, and seconds. Processors may be full, that is what they are for; a machine
#: where twice as much wants to run as can only gets slower.
DEFAULTS: Mapping[str, Threshold] = {
    #: Of all processors of the nodes, by everybody.
    "cpu": Threshold(upper=0.98, lower=0.90),
    #: Of the memory of the fullest node.
    "memory": Threshold(upper=0.92, lower=0.85),
    #: Seconds that what waits will keep the slots busy.
    "backlog_seconds": Threshold(upper=60.0, lower=30.0),
    #: Of the server's own memory, where it has a limit.
    "server_memory": Threshold(upper=0.85, lower=0.75),
}


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
