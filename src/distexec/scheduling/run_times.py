"""How long calls last, learned from those that ended: per function, in seconds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Weight of the newest call in the averages: about the last ten calls count.
WEIGHT = 0.2

#: Calls that use less of a processor than this wait more than they compute.
COMPUTING_SHARE = 0.5

#: A computing call that lasted so many times what few of its like exceed was most likely kept from
#: the processor: it counts as if it had lasted this. A function that did become slow is noticed
#: with its third or fourth call, since each raises the bound.
OUTLIER = 4.0

#: Seconds that no call is an outlier with: clocks are coarse, and interrupts last as long.
LEAST_OUTLIER_SECONDS = 5e-5

#: Inputs of a group that together weigh as much as one call: a group of the usual hundreds counts
#: nearly alone, one that is left over at the end of a map hardly.
GROUP_INPUTS = 64

#: So many calls tell what a function is like, however many may run together: see `RunTime.tells`.
TELLING_CALLS = 256

#: No fewer tell it, however few may run together. Two that meet both return at once where they
#: come at the same moment. Of programs whose calls meet in pairs all of the first three calls did
#: in one of fifty, and all of the first sixteen in one of two hundred where leases fell into step;
#: the next ones then travelled together, and hung. Sent one by one, so many take some milliseconds;
#: twice as many would cost the first `map` of a function another ten.
FEWEST_TELLING_CALLS = 32

#: A call waited if it did for so many seconds, and for most of its time. Shorter ones are those of
#: the machine: a page that is not there, a thread that has the interpreter.
WAIT_SECONDS = 0.001

#: Functions remembered at most; programs that make a new lambda per call would fill the memory.
MOST_FUNCTIONS = 1024


@dataclass(slots=True)
class RunTime:
    """Exponentially weighted mean and deviation of one function's run time."""

    mean: float
    #: Mean distance from the mean: how far a guess may be off.
    deviation: float
    #: Mean processor time.
    cpu_mean: float
    #: How many calls it was learned from.
    count: int = 1
    #: How many ended since the last one that waited.
    unwaited: int = 1

    def tells(self, together: int) -> bool:
        """Whether more calls ended than may run *together*: so not only those that had not to wait.

        Of calls that wait for each other the last one returns at once, before those that wait. And
        if one of them waited a function is not taken for one that computes before as many did not.
        """
        ended = self.count if self.cpu_mean < COMPUTING_SHARE * self.mean else self.unwaited
        return ended >= min(max(together + 1, FEWEST_TELLING_CALLS), TELLING_CALLS)

    def add_all(self, runs: Sequence[float], cpu_seconds: float) -> None:
        """Learn from calls that ended together, as if from each: at the cost of one."""
        count, total = len(runs), sum(runs)
        bound, longest = self._bound(total, cpu_seconds), max(runs)
        self.unwaited = 0 if _waited(longest, cpu_seconds) else self.unwaited + count
        if longest > bound:
            runs = [min(run, bound) for run in runs]
            cpu_seconds *= sum(runs) / total
        self.count += count
        weight = 1 - (1 - WEIGHT) ** count
        mean, distance = self.mean, sum([abs(run - self.mean) for run in runs]) / count
        self.mean += weight * (sum(runs) / count - mean)
        self.deviation += weight * (distance - self.deviation)
        self.cpu_mean += weight * (cpu_seconds / count - self.cpu_mean)

    def add(self, run_seconds: float, cpu_seconds: float, weight: float = WEIGHT) -> None:
        """Learn from one more call."""
        bound = self._bound(run_seconds, cpu_seconds)
        self.unwaited = 0 if _waited(run_seconds, cpu_seconds) else self.unwaited + 1
        if run_seconds > bound:
            cpu_seconds *= bound / run_seconds
            run_seconds = bound
        distance = run_seconds - self.mean
        self.count += 1
        self.mean += weight * distance
        self.deviation += weight * (abs(distance) - self.deviation)
        self.cpu_mean += weight * (cpu_seconds - self.cpu_mean)

    def _bound(self, run_seconds: float, cpu_seconds: float) -> float:
        """What a call counts for at most. One that waits may wait for another: it is no outlier."""
        if cpu_seconds <= COMPUTING_SHARE * run_seconds:
            return math.inf
        return max(OUTLIER * self.careful, LEAST_OUTLIER_SECONDS)

    def times(self, count: int) -> "RunTime":
        """What is known of so many calls, one after the other."""
        mean, deviation, cpu_mean = self.mean * count, self.deviation * count, self.cpu_mean * count
        return RunTime(mean, deviation, cpu_mean, self.count, self.unwaited)

    @property
    def cpu_share(self) -> float:
        """Processor time over wall time: near 0 for calls that wait, near 1 if they compute."""
        return min(self.cpu_mean / self.mean, 1.0) if self.mean > 0 else 1.0

    @property
    def deviation_seen(self) -> float:
        """`deviation` without what is left of its first value: half the first call, a guess."""
        guessed = (1 - WEIGHT) ** (self.count - 1)
        if guessed == 1:
            return self.deviation
        return max(0.0, self.deviation - guessed * self.mean / 2) / (1 - guessed)

    @property
    def careful(self) -> float:
        """A duration that few calls exceed."""
        return self.mean + 2 * self.deviation


def _waited(run_seconds: float, cpu_seconds: float) -> bool:
    waited = run_seconds - cpu_seconds
    return waited > WAIT_SECONDS and cpu_seconds < COMPUTING_SHARE * run_seconds


class RunTimes:
    """The run times of an executor's functions. Not thread-safe."""

    def __init__(self) -> None:
        self._functions: dict[bytes, RunTime] = {}
        #: Over all functions; ``None`` before the first call ended.
        self.overall: RunTime | None = None

    def add(self, function_id: bytes, run_seconds: float, cpu_seconds: float) -> None:
        """Learn that a call of the function lasted *run_seconds*."""
        if self.overall is None:
            self.overall = RunTime(run_seconds, run_seconds / 2, cpu_seconds)
        else:
            self.overall.add(run_seconds, cpu_seconds)
        known = self._functions.get(function_id)
        if known is not None:
            known.add(run_seconds, cpu_seconds)
        else:
            self.put(function_id, RunTime(run_seconds, run_seconds / 2, cpu_seconds))

    def put(self, function_id: bytes, known: RunTime) -> None:
        """Begin with what is *known* of a function."""
        if len(self._functions) >= MOST_FUNCTIONS:
            del self._functions[next(iter(self._functions))]
        self._functions[function_id] = known

    def add_all(self, calls: Iterable[tuple[bytes, float, float]]) -> None:
        """Learn from calls that ended together: each a function, its run and processor seconds."""
        runs: list[float] = []
        last, cpu = b"", 0.0
        for function_id, run_seconds, cpu_seconds in calls:
            if runs and function_id != last:
                self._add_same(last, runs, cpu)
                runs, cpu = [], 0.0
            last = function_id
            runs.append(run_seconds)
            cpu += cpu_seconds
        if runs:
            self._add_same(last, runs, cpu)

    def _add_same(self, function_id: bytes, runs: Sequence[float], cpu_seconds: float) -> None:
        """Learn from calls of one function."""
        known, overall = self._functions.get(function_id), self.overall
        if len(runs) > 1 and overall is not None and known is not None:
            known.add_all(runs, cpu_seconds)
            overall.add_all(runs, cpu_seconds)
        else:
            for run_seconds in runs:
                self.add(function_id, run_seconds, cpu_seconds / len(runs))

    def add_group(self, kind: bytes, inputs: int, run_seconds: float, cpu_seconds: float) -> None:
        """Learn how long one of so many inputs lasted, which ran one after the other.

        A large group counts more: what every group takes, whatever its size, is in its time too.
        """
        each, cpu = run_seconds / inputs, cpu_seconds / inputs
        known = self._functions.get(kind)
        if known is None:
            self.add(kind, each, cpu)
        else:
            known.add(each, cpu, weight=1 - (1 - WEIGHT) ** (inputs / GROUP_INPUTS))

    def get(self, function_id: bytes) -> RunTime | None:
        """What is known of the function; ``None`` before its first call ended."""
        return self._functions.get(function_id)
