"""How a node's slots are shared between the queues that it serves, by their weights.

Weighted fair queueing: each queue has a clock that runs with the slots it has, slower the more it
weighs, and who is behind is next. So shares hold over time too: of a single slot, a queue of weight
3 has three seconds, and then one of weight 1 has one.
"""

from collections.abc import Mapping

#: Seconds for which slots are given out at a time: moving one ends a lease.
SLICE_SECONDS = 1.0


class Shares:
    """Decides how many slots each queue should have.

    Args:
        weights: By queue; a queue without work leaves its part to the others.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._weights = dict(weights)
        self._clocks = dict.fromkeys(weights, 0.0)
        self._waited: set[str] = set()
        self._looked_at: float | None = None

    def decide(
        self, slots: int, held: Mapping[str, int], unmet: Mapping[str, int], now: float
    ) -> dict[str, int]:
        """Return the slots of each queue for the next while.

        Args:
            slots: Slots that the node has.
            held: Slots that serve each queue.
            unmet: Leases that executors ask for beyond those that they have, by queue.
        """
        elapsed = 0.0 if self._looked_at is None else min(now - self._looked_at, SLICE_SECONDS)
        self._looked_at = now
        for queue, weight in self._weights.items():
            self._clocks[queue] += held.get(queue, 0) * elapsed / weight
        wanted = {queue: held.get(queue, 0) + unmet.get(queue, 0) for queue in self._weights}
        active = {queue for queue, count in wanted.items() if count}
        self._let_in(active)
        return self._give_out(slots, wanted)

    def _let_in(self, active: set[str]) -> None:
        """Who had no work until now begins level with the others: idle time is not saved up."""
        known = [self._clocks[queue] for queue in active & self._waited]
        if known:
            for queue in active - self._waited:
                self._clocks[queue] = max(self._clocks[queue], min(known))
        self._waited = active

    def _give_out(self, slots: int, wanted: Mapping[str, int]) -> dict[str, int]:
        given = dict.fromkeys(self._weights, 0)
        clocks = self._clocks.copy()
        for _ in range(slots):
            short = [queue for queue, count in wanted.items() if given[queue] < count]
            if not short:
                break
            # By what its clock will show: else a heavy queue would be served in bursts.
            queue = min(short, key=lambda each: clocks[each] + SLICE_SECONDS / self._weights[each])
            given[queue] += 1
            clocks[queue] += SLICE_SECONDS / self._weights[queue]
        return given
