"""Nodes that are told to end, or freeze and wake up."""

import contextlib
import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from cluster.rig import NodeProcess, RealCluster
from conftest import eventually
from properties import calls
from properties.conftest import Gate, gate, ledger

from . import deeds
from .rig import executor, fragile_cluster

__all__ = ["gate", "ledger"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """A server; each test starts the nodes that it breaks."""
    with (
        fragile_cluster(tmp_path_factory.mktemp("cluster")) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("DISTEXEC_SECRET", cluster.secret_text)
        yield cluster


def lines(ledger: str, word: str) -> list[str]:
    return [line for line in calls.read_ledger(ledger) if line.startswith(word)]


def test_what_outlasts_a_drain_is_handed_back_uncharged(
    cluster: RealCluster, gate: Gate, ledger: str
) -> None:
    """Nobody is to blame: the calls run elsewhere, as they would have from the start."""
    leaving = cluster.start("leaving", "shift", 2, "--drain", "0.2")
    cluster.ready(leaving)
    with executor(cluster, 2, queue="shift") as pool:
        futures = [pool.submit(deeds.work, ledger, gate.path, n) for n in range(4)]
        eventually(lambda: len(lines(ledger, "start")) == 2)
        eventually(lambda: all(future.running() for future in futures[:2]))

        leaving.stop()

        assert leaving.process.wait(20) == 0
        assert lines(ledger, "end") == []
        heir = cluster.start("heir", "shift", 2)
        gate.open()
        assert [future.result(timeout=25) for future in futures] == [0, 1, 2, 3]
        assert pool.statistics().retried == 0
    assert len(lines(ledger, "start")) == 6
    heir.kill()


def test_a_node_that_was_frozen_settles_nothing_that_was_given_away(
    cluster: RealCluster, gate: Gate, ledger: str
) -> None:
    """A virtual machine was paused: its calls ran elsewhere, and when it wakes up they stop."""
    sleeper = cluster.start("sleeper", "bed")
    cluster.ready(sleeper)
    with executor(cluster, 1, queue="bed") as pool:
        future = pool.submit(deeds.work, ledger, gate.path, "call")
        eventually(future.running)
        with frozen(sleeper):
            spare = cluster.start("spare", "bed")
            cluster.ready(spare)
            eventually(lambda: len(lines(ledger, "start")) == 2, 20)
        # It is awake, and finds that its lease was given up: its process ends with the call.
        first = int(lines(ledger, "start")[0].split()[2])
        eventually(lambda: not psutil.pid_exists(first))

        gate.open()

        assert future.result(timeout=25) == "call"
        assert pool.statistics().done == 1
    assert len(lines(ledger, "end")) == 1
    cluster.ready(sleeper)
    sleeper.kill()
    spare.kill()


@contextlib.contextmanager
def frozen(node: NodeProcess) -> Iterator[None]:
    """Stop all of its processes until the end of the block."""
    whole = psutil.Process(node.process.pid)
    processes = [whole, *whole.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def test_a_child_of_a_frozen_node_serves_nobody(
    cluster: RealCluster, gate: Gate, ledger: str
) -> None:
    """Nobody would notice its end: one lease after the other would be given up, and charged."""
    node = cluster.start("half", "half")
    cluster.ready(node)
    with executor(cluster, 1, queue="half") as pool:
        assert pool.submit(calls.square, 3).result(timeout=20) == 9
        pid = int(cluster.records()["half"]["pid"])
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: "half" not in cluster.records())
            future = pool.submit(deeds.work, ledger, gate.path, "call")
            spare = cluster.start("spare", "half")
            cluster.ready(spare)
            eventually(lambda: lines(ledger, "start"), 20)
        finally:
            os.kill(pid, signal.SIGCONT)
        gate.open()

        assert future.result(timeout=25) == "call"
        assert pool.statistics().retried == 0
    assert len(lines(ledger, "start")) == 1
    node.kill()
    spare.kill()
