"""How many slots a node has, where that may follow the demand."""

from collections import deque

#: A slot that nobody wanted for so many seconds goes. Starting one takes some hundredths of a
#: second, so that a short memory costs little, and none at all would start one for every burst.
MEMORY_SECONDS = 30.0


class Autoscale:
    """As many slots as were wanted at any time lately: grows at once, and shrinks late.

    Args:
        least: Slots that stay without any demand.
        most: Slots that no demand exceeds.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most
        #: What was wanted when, each more than all that came later.
        self._wanted: deque[tuple[float, int]] = deque()

    def decide(self, *, busy: int, unmet: int, now: float) -> int:
        """Return the number of slots to have.

        Args:
            busy: Slots that serve an executor.
            unmet: Leases that executors would have something to do for, and do not have.
        """
        wanted = busy + unmet
        while self._wanted and self._wanted[-1][1] <= wanted:
            self._wanted.pop()
        self._wanted.append((now, wanted))
        while now - self._wanted[0][0] > MEMORY_SECONDS:
            self._wanted.popleft()
        return min(max(self._wanted[0][1], self._least), self._most)
