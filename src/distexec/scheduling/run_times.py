"""How long calls last, learned from those that ended: per function, in seconds."""

from dataclasses import dataclass

#: Weight of the newest call in the averages: about the last ten calls count.
WEIGHT = 0.2

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

    def add(self, run_seconds: float, cpu_seconds: float) -> None:
        """Learn from one more call."""
        distance = run_seconds - self.mean
        self.mean += WEIGHT * distance
        self.deviation += WEIGHT * (abs(distance) - self.deviation)
        self.cpu_mean += WEIGHT * (cpu_seconds - self.cpu_mean)

    @property
    def cpu_share(self) -> float:
        """Processor time over wall time: near 0 for calls that wait, near 1 if they compute."""
        return min(self.cpu_mean / self.mean, 1.0) if self.mean > 0 else 1.0

    @property
    def careful(self) -> float:
        """A duration that few calls exceed."""
        return self.mean + 2 * self.deviation


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
            return
        if len(self._functions) >= MOST_FUNCTIONS:
            del self._functions[next(iter(self._functions))]
        self._functions[function_id] = RunTime(run_seconds, run_seconds / 2, cpu_seconds)

    def get(self, function_id: bytes) -> RunTime | None:
        """What is known of the function; ``None`` before its first call ended."""
        return self._functions.get(function_id)
