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
    #: Processor time over wall time: near 0 for a call that waits, near 1 for one that computes.
    cpu_share: float

    def add(self, run_seconds: float, cpu_seconds: float) -> None:
        """Learn from one more call."""
        distance = run_seconds - self.mean
        self.mean += WEIGHT * distance
        self.deviation += WEIGHT * (abs(distance) - self.deviation)
        if run_seconds > 0:
            share = min(cpu_seconds / run_seconds, 1.0)
            self.cpu_share += WEIGHT * (share - self.cpu_share)

    @property
    def careful(self) -> float:
        """A duration that few calls exceed."""
        return self.mean + 2 * self.deviation


class RunTimes:
    """The run times of an executor's functions. Not thread-safe."""

    def __init__(self) -> None:
        self._functions: dict[bytes, RunTime] = {}

    def add(self, function_id: bytes, run_seconds: float, cpu_seconds: float) -> None:
        """Learn that a call of the function lasted *run_seconds*."""
        known = self._functions.get(function_id)
        if known is not None:
            known.add(run_seconds, cpu_seconds)
            return
        if len(self._functions) >= MOST_FUNCTIONS:
            del self._functions[next(iter(self._functions))]
        share = min(cpu_seconds / run_seconds, 1.0) if run_seconds > 0 else 1.0
        self._functions[function_id] = RunTime(run_seconds, run_seconds / 2, share)

    def get(self, function_id: bytes) -> RunTime | None:
        """What is known of the function; ``None`` before its first call ended."""
        return self._functions.get(function_id)
