"""What happened to an executor's calls so far, for its `statistics()`."""

from collections import deque
from collections.abc import Sequence

from distexec.client.calls import REMEMBERED_CALLS
from distexec.scheduling.histogram import Histogram


class Counters:
    """Counts and times. Written by one thread at a time."""

    def __init__(self) -> None:
        #: Bytes of calls and values on their way to nodes, and of values that were there already.
        self.bytes_sent = self.bytes_saved = 0
        self.done = self.failed = self.cancelled = self.returned = self.retried = 0
        #: Attempts that ended with their worker.
        self.lost = 0
        #: Seconds between submit and start, of all calls.
        self.waits = Histogram()
        #: Seconds between submit and start, and in the function, of the last calls.
        self.wait_seconds: deque[float] = deque(maxlen=REMEMBERED_CALLS)
        self.run_seconds: deque[float] = deque(maxlen=REMEMBERED_CALLS)

    def note_times(self, waits: Sequence[float], runs: Sequence[float]) -> None:
        """Note how long calls waited and ran that ended together."""
        self.wait_seconds.extend(waits)
        self.run_seconds.extend(runs)
        self.waits.add_mean(waits)
