"""When a lease takes its next call before the one that runs has ended."""

from distexec.scheduling.run_times import RunTime
from distexec.scheduling.sharing import usually_waits

#: Seconds before the expected end of a call at which its lease reserves the next one. A trip takes
#: 0.4 to 0.8 ms, and meanwhile no other lease may reserve one. Of four workers' time, calls of
#: 10 ms used 90 to 92 % with 2.5 ms, 94 with 2, 95 with 1.6 and 1.3 (``benchmarks/ten_ms.py``).
AHEAD_SECONDS = 0.0015

#: Seconds until it is tried again where another lease was first, and before the expected end at
#: which it is too late for that.
AGAIN_SECONDS = 0.0005
LEAST_SECONDS = 0.0003

#: Seconds after the expected end at which the reserved call is given back.
LATE_SECONDS = 0.001

#: A function's calls keep to their mean if they are off by less than this, on average.
STEADY_SECONDS = 0.001

#: Seconds of a stream's time that one reservation takes: the others wait meanwhile. Four calls of
#: 10 ms at a time fall into step, and wait for one another in three of a hundred cases.
EACH_SECONDS = 0.002

#: Calls that tell whether a function's are alike. With eight, and a deviation that begins as a
#: guess, a lease that has just come foresees nothing in its first ten calls of 10 ms: 2 ms lost.
FEWEST_CALLS = 3

#: Calls after which a lease tries again, at most.
LONGEST_REST = 64


def expected_seconds(known: RunTime | None) -> float | None:
    """How long the calls of a function last, if they wait, and all of them for as long.

    Calls that compute are not for this: who sends the reply needs the interpreter at their end.
    """
    if known is None or known.count < FEWEST_CALLS or not usually_waits(known):
        return None
    deviation = known.deviation_seen
    if known.mean < 2 * AHEAD_SECONDS or deviation > STEADY_SECONDS:
        return None
    return known.mean - deviation


def most_threads(seconds: float) -> int:
    """How many threads, with calls of so many *seconds*, do not wait long for one another."""
    return int(seconds / EACH_SECONDS)


class Tries:
    """Whether to try to reserve: after three refusals in a row, less often with each."""

    def __init__(self) -> None:
        self._refusals = self._rest = 0

    def is_time(self) -> bool:
        """Whether to try during the call that begins; to be asked once for each."""
        self._rest -= 1
        return self._rest < 0

    def note(self, *, granted: bool) -> None:
        """Note how it went."""
        self._refusals = 0 if granted else self._refusals + 1
        self._rest = min(2 ** max(0, self._refusals - 3) - 1, LONGEST_REST)
