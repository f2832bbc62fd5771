"""Rules 6 and 7: `max_workers` is exact, waiting calls share a slot, and none waits for another."""

import itertools
import time
from pathlib import Path

import pytest

import distexec
from conftest import eventually
from properties import calls

from . import deeds
from .conftest import Gate


def test_a_process_pool_grows_the_cluster(tmp_path: Path) -> None:
    """Four calls that meet need four processes, on a cluster that began with two."""
    with (
        distexec.LocalCluster(2) as cluster,
        distexec.ProcessPoolExecutor(4, cluster=cluster) as executor,
    ):
        futures = [executor.submit(calls.meet, tmp_path, n, 4) for n in range(4)]

        assert [future.result(timeout=25) for future in futures] == [4] * 4
        assert cluster.slots == 4


def test_64_sleeping_calls_run_together_on_two_slots(
    two_slots: distexec.LocalCluster, tmp_path: Path
) -> None:
    """They wait: two processes with threads have room for all, and the cluster need not grow."""
    with distexec.ThreadPoolExecutor(64, cluster=two_slots) as executor:
        futures = [executor.submit(calls.meet, tmp_path, n, 64) for n in range(64)]

        assert [future.result(timeout=25) for future in futures] == [64] * 64
        assert executor.statistics().leases <= 2
    assert two_slots.slots == 2


def test_waiting_calls_are_found_out(two_slots: distexec.LocalCluster) -> None:
    """Nobody said that they wait: 40 sleeps of 0.1 s on two slots take less than half of 2 s."""
    with distexec.DistributedExecutor(40, cluster=two_slots) as executor:
        list(executor.map(calls.sleep_then, [0.03] * 40))
        began = time.monotonic()

        list(executor.map(calls.sleep_then, [0.1] * 40))

        assert time.monotonic() - began < 1.0
    assert two_slots.slots == 2


@pytest.mark.parametrize(
    "kind", ["DistributedExecutor", "ThreadPoolExecutor", "ProcessPoolExecutor"]
)
@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_max_workers_run(
    four_slots: distexec.LocalCluster, ledger: str, kind: str, workers: int
) -> None:
    """While leases come and go, threads are added and taken away, and the node has free slots."""
    with getattr(distexec, kind)(workers, cluster=four_slots) as executor:
        for pause in (0.0, 0.002, 0.015, 0.0):
            list(executor.map(calls.enter_and_leave, [ledger] * 15, [pause] * 15))

    steps = [1 if line == "+" else -1 for line in calls.read_ledger(ledger)]
    assert len(steps) == 120
    assert max(itertools.accumulate(steps)) == workers or workers == 3
    assert max(itertools.accumulate(steps)) <= workers


def test_a_process_pool_never_shares_a_process(
    two_slots: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """Its functions may change the process: each has one for itself, on its main thread."""
    with distexec.ProcessPoolExecutor(2, cluster=two_slots) as executor:
        waiting = [executor.submit(deeds.noted_wait, ledger, gate.path, n) for n in range(6)]
        lines = eventually(lambda: (found := calls.read_ledger(ledger))[1:] and found)
        assert len({line.split()[1] for line in lines}) == 2
        gate.open()

        assert [future.result(timeout=20) for future in waiting] == list(range(6))
        assert executor.submit(deeds.whereabouts).result(timeout=20)[2]


@pytest.mark.parametrize(
    "kind", ["DistributedExecutor", "ThreadPoolExecutor", "ProcessPoolExecutor"]
)
@pytest.mark.parametrize("where", ["one slot", "two slots", "threads"])
def test_calls_that_wait_for_each_other_never_deadlock(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, where: str
) -> None:
    """Known to be short, they travel in one entry; and then the first waits for the last."""
    cluster = where if where == "threads" else request.getfixturevalue(where.replace(" ", "_"))
    with getattr(distexec, kind)(2, cluster=cluster) as executor:
        for round_ in range(3):
            list(executor.map(deeds.step, [None] * 100, [None] * 100))
            gate = str(tmp_path / str(round_))
            first = executor.submit(deeds.step, gate, None)
            between = [executor.submit(deeds.step, None, None) for _ in range(20)]
            last = executor.submit(deeds.step, None, gate)

            for future in [first, *between, last]:
                future.result(timeout=20)


def test_a_chain_of_waiting_calls_ends_backwards(
    one_slot: distexec.LocalCluster, tmp_path: Path
) -> None:
    """Each of eight waits for the next one, all submitted to a single slot with threads."""
    gates = [str(tmp_path / str(n)) for n in range(8)]
    with distexec.ThreadPoolExecutor(8, cluster=one_slot) as executor:
        futures = [
            executor.submit(deeds.step, following, own)
            for own, following in zip(gates, [*gates[1:], None], strict=True)
        ]

        for future in futures:
            future.result(timeout=25)


def test_one_slow_call_holds_up_nobody(two_slots: distexec.LocalCluster, gate: Gate) -> None:
    """The guess that all calls of a function are short is wrong once: that one waits alone."""
    with distexec.ProcessPoolExecutor(2, cluster=two_slots) as executor:
        list(executor.map(deeds.step, [None] * 200, [None] * 200))
        futures = [
            executor.submit(deeds.step, gate.path if n == 10 else None, None) for n in range(100)
        ]

        eventually(lambda: sum(future.done() for future in futures) == 99)
        gate.open()
        futures[10].result(timeout=20)
