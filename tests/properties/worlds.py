"""The executors that must behave alike; the standard pools are there to prove the tests."""

import concurrent.futures as stdlib
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings

import distexec


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One way to make an executor, and what may be asked of it."""

    name: str
    #: Makes an executor of so many workers.
    make: Callable[[int], Executor]
    #: Ours: held to what the standard pools only promise in part.
    ours: bool
    #: Calls run in other processes.
    apart: bool
    #: How many examples hypothesis may try, for a test of ordinary cost.
    examples: int

    def settings(self, share: float = 1.0) -> settings:
        """Limit hypothesis to what this world can do in the time that a test has."""
        return settings(
            max_examples=max(3, int(self.examples * share)),
            # A busy machine is no failure, and each example may wait for real processes.
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            database=None,
            # The same examples in every run of CI: a red build must be repeatable.
            derandomize="CI" in os.environ,
        )


def _standard_processes(workers: int) -> Executor:
    # Not "fork": the process that runs the tests has threads.
    return stdlib.ProcessPoolExecutor(workers, multiprocessing.get_context("forkserver"))


ALL = {
    world.name: world
    for world in (
        World(
            name="stdlib-threads",
            make=lambda workers: stdlib.ThreadPoolExecutor(workers),
            ours=False,
            apart=False,
            examples=15,
        ),
        World(
            name="stdlib-processes", make=_standard_processes, ours=False, apart=True, examples=5
        ),
        World(
            name="twin",
            make=lambda workers: distexec.DistributedExecutor(workers, cluster="threads"),
            ours=True,
            apart=False,
            examples=25,
        ),
        World(
            name="embedded",
            make=lambda workers: distexec.DistributedExecutor(workers),
            ours=True,
            apart=True,
            examples=12,
        ),
        World(
            name="embedded-threads",
            make=lambda workers: distexec.ThreadPoolExecutor(workers),
            ours=True,
            apart=True,
            examples=6,
        ),
        World(
            name="embedded-processes",
            make=lambda workers: distexec.ProcessPoolExecutor(workers),
            ours=True,
            apart=True,
            examples=6,
        ),
    )
}

#: Names for `on`: what a property is fair to.
STANDARD = ("stdlib-threads", "stdlib-processes")
OURS = ("twin", "embedded")
EMBEDDED = ("embedded", "embedded-threads", "embedded-processes")
EVERY = (*STANDARD, "twin", *EMBEDDED)


def on(*names: str) -> pytest.MarkDecorator:
    """Run a test in each of the worlds that are named."""
    return pytest.mark.parametrize("world", [ALL[name] for name in names], ids=names)


class Pools:
    """Executors that the tests of one module share: starting workers costs more than most tests."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], Executor] = {}

    def __call__(self, world: World, workers: int) -> Executor:
        """Return the executor of *world* with so many workers, made when first asked for."""
        key = world.name, workers
        if key not in self._made:
            self._made[key] = world.make(workers)
        return self._made[key]

    def close(self) -> None:
        """Shut every executor down."""
        for executor in self._made.values():
            executor.shutdown(cancel_futures=True)
