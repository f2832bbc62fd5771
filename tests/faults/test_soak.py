"""Rows 28 and 29: many calls, without any fault, and with a random one every few seconds.

``make soak`` runs the long ones. The seed of a run is in the table; ``SOAK_SEED`` runs it again.
"""

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import distexec
from conftest import eventually
from distexec.settings import Settings
from distexec.store.link import Link

from . import ledger
from .ledger import Ledger
from .rig import Rig, kill
from .trial import Trial

MakeTrial = Callable[[str], Trial]

MEGABYTE = 2**20

#: Bytes that any of the parties may grow by after the first fifth.
MOST_GROWTH = 10 * MEGABYTE

#: Calls under way at a time: the program, not the executor, holds back the rest.
UNDER_WAY = 2000


def submit_steadily(executor: distexec.Executor, path: str, numbers: range, seconds: float) -> int:
    """Submit calls, `UNDER_WAY` at a time, and count those that return something else."""
    wrong, waiting = 0, deque()
    for number in numbers:
        waiting.append((number, executor.submit(ledger.work, path, number, seconds)))
        if len(waiting) >= UNDER_WAY or number == numbers[-1]:
            while waiting and (len(waiting) >= UNDER_WAY // 2 or number == numbers[-1]):
                oldest, future = waiting.popleft()
                wrong += future.result(timeout=60) != ledger.expected(oldest)
    return wrong


@pytest.mark.parametrize(
    "calls", [5000, pytest.param(100_000, marks=[pytest.mark.full, pytest.mark.timeout(900)])]
)
def test_row_28_soak(tmp_path: Path, calls: int) -> None:
    """Exactly as many starts as calls, and nobody grows: not the caller, no worker, no server."""
    found = Ledger(tmp_path / "ledger")
    caller = psutil.Process()
    with distexec.LocalCluster(2) as cluster, server_link(cluster) as link:
        workers = [caller.children()[0], *caller.children(recursive=True)]

        def sizes() -> dict[str, int]:
            rss = sum(each.memory_info().rss for each in workers if each.is_running())
            used = int(link.call("INFO", "memory").split(b"used_memory:")[1].split(b"\r")[0])
            return {"caller": caller.memory_info().rss, "workers": rss, "server": used}

        with distexec.DistributedExecutor(2, cluster=cluster) as executor:
            wrong = submit_steadily(executor, found.path, range(calls // 5), 0.0)
            workers = psutil.Process().children(recursive=True)
            before, resources = sizes(), (caller.num_fds(), threading.active_count())
            began = time.monotonic()
            wrong += submit_steadily(executor, found.path, range(calls // 5, calls), 0.0)
            rate = calls * 0.8 / (time.monotonic() - began)
            after = sizes()
            assert (caller.num_fds(), threading.active_count()) == resources
    growth = {name: (after[name] - before[name]) / MEGABYTE for name in after}
    print(f"{calls:,} calls at {rate:,.0f}/s; MB more after the first fifth: {growth}")
    starts = found.read().starts
    assert wrong == 0
    assert len(starts) == starts.total() == calls
    assert max(growth.values()) * MEGABYTE < MOST_GROWTH, growth


@contextmanager
def server_link(cluster: distexec.LocalCluster) -> Iterator[Link]:
    """A connection to the server of *cluster*."""
    link = Link(cluster.endpoint, Settings())
    try:
        yield link
    finally:
        link.close()


class Accidents:
    """What may happen to a rig, each of it over when the method returns."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self._rig, self._chance = rig, chance

    def happen(self) -> str:
        """Let one of them happen; return which."""
        accident = self._chance.choice(
            [
                self.child_killed,
                self.main_process_killed,
                self.node_frozen,
                self.server_killed,
                self.server_frozen,
                self.server_emptied,
                self.memory_full,
            ]
        )
        accident()
        return accident.__name__

    def _some_node(self) -> str:
        return self._chance.choice(sorted(self._rig.nodes))

    def child_killed(self) -> None:
        kill(self._chance.choice(sorted(self._rig.children(self._some_node()))))

    def main_process_killed(self) -> None:
        name = self._some_node()
        main = self._rig.main_pid(name)
        kill(main)
        eventually(lambda: self._rig.main_pid(name) != main, 20)

    def node_frozen(self) -> None:
        name = self._some_node()
        self._rig.freeze(name)
        eventually(lambda: name not in self._rig.cluster.records(), 20)
        self._rig.thaw(name)

    def server_killed(self) -> None:
        self._rig.server.kill()
        self._rig.server.start()

    def server_frozen(self) -> None:
        self._rig.server.freeze()
        pause = time.monotonic() + self._chance.uniform(0.2, 2.0)
        eventually(lambda: time.monotonic() > pause)
        self._rig.server.thaw()

    def server_emptied(self) -> None:
        self._rig.ask("FLUSHALL")

    def memory_full(self) -> None:
        self._rig.ask("CONFIG", "SET", "maxmemory", "1")
        pause = time.monotonic() + self._chance.uniform(0.2, 1.0)
        eventually(lambda: time.monotonic() > pause)
        self._rig.ask("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.parametrize(
    ("calls", "seconds", "pause", "most"),
    [
        (300, 0.02, 0.0, 5),
        pytest.param(300_000, 0.0, 3.0, 1000, marks=[pytest.mark.full, pytest.mark.timeout(900)]),
    ],
)
def test_row_29_random_faults(
    rig: Rig, trial: MakeTrial, calls: int, seconds: float, pause: float, most: int
) -> None:
    """One after the other, three seconds apart in the long run: nothing lost, hung or wrong."""
    seed = int(os.environ.get("SOAK_SEED", random.randrange(10**6) if pause else 1))
    accidents = Accidents(rig, random.Random(seed))
    tried, happened = trial(f"29 {seed}"), []
    with rig.processes(4) as executor, ThreadPoolExecutor(1) as submitter:
        submitting = submitter.submit(tried.submit, executor, calls, seconds)
        while len(tried.ledger.read().ends) < 0.9 * calls and len(happened) < most:
            tried.strike(lambda: happened.append(accidents.happen()))
            next_one = time.monotonic() + pause
            eventually(lambda next_one=next_one: time.monotonic() > next_one, pause + 1)
        submitting.result(timeout=600)

        verdict = tried.verdict(within=120)

    print(f"seed {seed}:", *happened)
    assert verdict.hits >= 3
    # None of them takes more than what was under way, which is work of some tens of milliseconds:
    # two calls of each lease, or hundreds if they do nothing.
    assert verdict.extra <= verdict.hits * (1000 if seconds == 0.0 else 8)
