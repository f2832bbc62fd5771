"""The calls that benchmarks make. A module of its own, so that every peer can import it.

The task queues register each function here as a task: plain arguments and results only.
"""

import os
import time
from typing import Any


def noop(value: int = 0) -> int:
    """Do nothing."""
    return value


def rest(seconds: float) -> float:
    """Wait without using the processor, as a call does that asks another machine."""
    time.sleep(seconds)
    return seconds


def compute(seconds: float) -> float:
    """Use the processor for so much of its own time, however busy the machine is."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return seconds


def size(data: bytes) -> int:
    """Take something and answer little."""
    return len(data)


def look(array: Any, index: int) -> float:
    """Use a little of something large."""
    return float(array[index])


def make(count: int) -> Any:
    """Return something large: *count* numbers."""
    import numpy

    return numpy.ones(count)


#: What the task queues register.
TASKS = (noop, rest, compute)


def hold(path: str) -> None:
    """Occupy a worker until there is a file at *path*."""
    while not os.path.exists(path):
        time.sleep(0.005)
