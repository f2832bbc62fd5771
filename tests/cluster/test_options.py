"""What `distexec worker` is told by its options, seen from calls that run on such nodes."""

import os
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

import distexec
from bad_inputs.conftest import start_server
from conftest import eventually
from properties import calls
from properties.conftest import Gate, gate, ledger

from . import deeds
from .rig import RealCluster

__all__ = ["gate", "ledger"]

QUEUES = ("large", "few", "threads", "stuck", "grow", "busy", "other")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """A server whose users have the permissions that `distexec acl` prints, and no more."""
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch, start_server(folder) as server:
        cluster = RealCluster(server, folder, QUEUES)
        patch.setenv("DISTEXEC_SECRET", cluster.secret_text)
        try:
            yield cluster
            assert server.command("ACL LOG") == "*0\r\n"
        finally:
            cluster.close()


def connect(cluster: RealCluster, queue: str, workers: int) -> distexec.DistributedExecutor:
    return distexec.DistributedExecutor(workers, cluster=cluster.url, queue=queue)


def test_child_with_too_much_memory_is_replaced_between_calls(cluster: RealCluster) -> None:
    """A leak ends with its process, and neither the call that filled it nor the next one pays."""
    cluster.ready(cluster.start("large", "large", 1, "--memory-per-child", "200M"))
    with connect(cluster, "large", 1) as executor:
        first = executor.submit(deeds.fill, 256 * 2**20)
        full = first.result(60)

        def runs_elsewhere() -> bool:
            return executor.submit(os.getpid).result(30) != full

        eventually(runs_elsewhere, 30)
        statistics = executor.statistics()

    assert (statistics.failed, statistics.retried) == (0, 0)
    assert first.attempts == 1


def test_child_is_replaced_after_so_many_calls(cluster: RealCluster) -> None:
    """What leaks is let go before it hurts; nothing is lost where one process follows another."""
    cluster.ready(cluster.start("few", "few", 1, "--calls-per-child", "2"))
    with connect(cluster, "few", 1) as executor:
        pids = [executor.submit(os.getpid).result(30) for _ in range(12)]
        assert list(executor.map(calls.identity, range(10))) == list(range(10))
        statistics = executor.statistics()

    # A process may run one more: it takes the next call while it answers the last.
    assert all(2 <= count <= 3 for _, count in list(Counter(pids).items())[:-1])
    assert len(set(pids)) >= 4
    assert (statistics.failed, statistics.retried) == (0, 0)


def test_pool_of_threads_shares_one_process(cluster: RealCluster, gate: Gate, ledger: str) -> None:
    """For calls that wait: each slot is a thread, at the cost of one process."""
    node = cluster.start("threads", "threads", 2, "--pool", "threads")
    cluster.ready(node)
    with connect(cluster, "threads", 2) as executor:
        futures = [executor.submit(deeds.where_after, ledger, gate.path) for _ in range(2)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 2, 30)
        gate.open()
        places = [future.result(30) for future in futures]

    assert len({pid for pid, _ in places}) == 1
    assert len({thread for _, thread in places}) == 2
    assert cluster.records()["threads"]["children"] == [places[0][0]]
    node.stop()
    assert node.process.wait(30) == 0


def test_thread_that_never_ends_does_not_keep_its_node(
    cluster: RealCluster, gate: Gate, ledger: str
) -> None:
    """Nothing stops a thread: the node ends with it, and hands its call back uncharged."""
    options = ("--pool", "threads", "--drain", "0.5")
    node = cluster.start("stuck", "stuck", 1, *options)
    cluster.ready(node)
    with connect(cluster, "stuck", 1) as executor:
        future = executor.submit(deeds.where_after, ledger, gate.path)
        eventually(lambda: calls.read_ledger(ledger), 30)
        node.stop()
        assert node.process.wait(30) == 0
        cluster.ready(cluster.start("heir", "stuck", 1))
        eventually(lambda: len(calls.read_ledger(ledger)) == 2, 30)
        gate.open()

        assert future.result(30)[1] == threading.main_thread().name
        assert future.attempts == 1


def test_slots_follow_the_demand(cluster: RealCluster, gate: Gate, ledger: str) -> None:
    """Three calls that wait for each other need three processes, where the node began with one."""
    cluster.ready(cluster.start("grow", "grow", 1, "--autoscale", "1,3"))
    with connect(cluster, "grow", 8) as executor:
        alone = executor.options(at_most_once=True)
        futures = [alone.submit(deeds.where_after, ledger, gate.path) for _ in range(8)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 3, 60)
        eventually(lambda: cluster.records()["grow"]["slots"] == 3)
        gate.open()
        pids = {future.result(30)[0] for future in futures}

    assert len(pids) == 3


def test_busy_queue_leaves_another_its_part(cluster: RealCluster, gate: Gate) -> None:
    """One slot for two queues: endless work for the first must not keep the second waiting."""
    cluster.ready(cluster.start("both", "busy,other:3", 1))
    with connect(cluster, "busy", 1) as busy, connect(cluster, "other", 1) as other:
        endless = [busy.submit(deeds.linger, gate.path) for _ in range(1000)]
        endless[0].result(30)

        other.submit(os.getpid).result(30)

        assert not endless[-1].done()
        gate.open()
        endless[-1].result(30)
        assert busy.statistics().failed == 0
