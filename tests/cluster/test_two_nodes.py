"""End to end: a server on a port, two nodes started by the command, and a caller with a URL."""

import json
import logging
import time
from collections.abc import Iterator

import pytest

import distexec
from bad_inputs.conftest import start_server
from bad_inputs.servers import refusal
from conftest import eventually
from distexec.settings import Settings
from distexec.store import keys
from distexec.store.connect import open_node_store
from distexec.store.endpoint import Endpoint
from distexec.wire import places, secret
from distexec.wire.records import WIRE_VERSION
from distexec.wire.seal import Direction, Seal
from properties import calls
from properties.conftest import Gate, gate, ledger

from . import deeds
from .rig import NodeProcess, RealCluster

__all__ = ["gate", "ledger"]

EXPIRY_SECONDS = 1.5

#: Every queue of these tests: their callers and nodes have no permission for others.
QUEUES = ("distexec", "left", "right", "nobody", "late", "shift", "risky", "single")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """A server with a password, and its secret in the environment, as an operator sets it up."""
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch, start_server(folder) as server:
        cluster = RealCluster(server, folder, QUEUES)
        patch.setenv("DISTEXEC_SECRET", cluster.secret_text)
        patch.setenv("DISTEXEC_NODE_EXPIRY_SECONDS", str(EXPIRY_SECONDS))
        try:
            yield cluster
            # What no command was refused for: the rules suffice.
            assert server.command("ACL LOG") == "*0\r\n"
        finally:
            cluster.close()


@pytest.fixture(scope="module")
def nodes(cluster: RealCluster) -> list[NodeProcess]:
    """Two nodes of one slot each: ``a`` and ``b`` have a queue in common, and one of their own."""
    started = [cluster.start("n1", "distexec,left"), cluster.start("n2", "distexec,right")]
    cluster.ready(*started)
    return started


def connect(cluster: RealCluster, workers: int = 2, **options: object) -> distexec.Executor:
    return distexec.ProcessPoolExecutor(workers, cluster=cluster.url, **options)


def test_calls_reach_both_nodes(
    cluster: RealCluster, nodes: list[NodeProcess], gate: Gate, ledger: str
) -> None:
    """Two calls that wait are on two nodes, since each has a single slot."""
    with connect(cluster) as executor:
        futures = [executor.submit(deeds.noted_where, ledger, gate.path, n) for n in range(2)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 2)
        gate.open()

        results = [future.result(timeout=20) for future in futures]

    assert [value for value, _ in results] == [0, 1]
    assert {node for _, node in results} == {"n1", "n2"}


def test_a_queue_is_a_place(cluster: RealCluster, nodes: list[NodeProcess]) -> None:
    """The node with the licence, the node with the disk: `queue=`, or a view for some calls."""
    with connect(cluster, queue="left") as executor:
        on_the_right = executor.options(queue="right")

        left = [executor.submit(deeds.where) for _ in range(10)]
        right = list(on_the_right.map(_where, range(10)))

        assert {future.result(timeout=20) for future in left} == {"n1"}
    assert set(right) == {"n2"}


def _where(_: int) -> str:
    return deeds.where()


def test_max_workers_none_is_one_call_per_slot(
    cluster: RealCluster, nodes: list[NodeProcess]
) -> None:
    """The cluster's size is not known to the program, and need not be."""
    with distexec.DistributedExecutor(cluster=cluster.url) as executor:
        assert executor.submit(deeds.where).result(timeout=20) in ("n1", "n2")
        assert "of 2" in repr(executor)


def test_many_calls_through_two_nodes(cluster: RealCluster, nodes: list[NodeProcess]) -> None:
    """Nothing is lost, doubled or mixed up on the way."""
    with distexec.DistributedExecutor(4, cluster=cluster.url) as executor:
        assert list(executor.map(calls.square, range(2000))) == [n * n for n in range(2000)]


def test_nested_calls_use_the_cluster_that_they_run_on(
    cluster: RealCluster, nodes: list[NodeProcess]
) -> None:
    """With the node's secret and URL; the caller's own environment is not there."""
    from ring import deeds as nesting

    with connect(cluster) as executor:
        assert executor.submit(nesting.nest, 2, "result").result(timeout=28) == 2


# Executors that share a slot --------------------------------------------------------------------


def test_urgent_work_has_the_slot_at_the_next_call_boundary(
    cluster: RealCluster, nodes: list[NodeProcess], gate: Gate, ledger: str
) -> None:
    """One call runs and many wait: the urgent call of somebody else goes before almost all."""
    with (
        connect(cluster, queue="left") as one,
        connect(cluster, 1, queue="left", name="urgent") as other,
    ):
        low, urgent = one.options(priority=3), other.options(priority=9)
        asks = f"HLEN {keys.demand('left')}"
        # Executors of other tests have gone: a slot looks for new ones, and not all the time.
        eventually(lambda: cluster.server.command(asks) == ":0\r\n")
        running = low.submit(calls.wait_for, gate.path, "running", ledger)
        eventually(lambda: calls.read_ledger(ledger) == ["running"])
        later = [low.submit(calls.note, ledger, n) for n in range(300)]

        future = urgent.submit(calls.note, ledger, "urgent")
        eventually(lambda: cluster.server.command(asks) == ":2\r\n")
        gate.open()

        future.result(timeout=60)
        assert running.result(timeout=60) == "running"
        assert not distexec.wait(later, timeout=60).not_done, "the others go on after it"
    seen = calls.read_ledger(ledger)
    # A slot looks at who asks every 20 ms at most: of these short calls some may go before.
    assert seen[0] == "running" and seen.index("urgent") < 100
    assert sorted(seen) == sorted(["running", "urgent", *map(str, range(300))])


# Who does not fit -----------------------------------------------------------------------------


def test_another_secret_is_refused(
    cluster: RealCluster, nodes: list[NodeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, naming both secrets by their ids: silence would look like a slow cluster."""
    foreign = secret.generate()
    monkeypatch.setenv("DISTEXEC_SECRET", secret.to_text(foreign))

    error = refusal(cluster.url)

    assert isinstance(error, distexec.ClusterMismatch)
    ours, theirs = Seal(foreign).key_id.hex(), Seal(cluster.secret).key_id.hex()
    assert ours in str(error) and theirs in str(error) and "n1@" in str(error)
    assert cluster.secret_text not in str(error)


def test_another_python_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Functions are pickled code, which another minor version cannot run: both are named."""
    key = secret.generate()
    with (
        pytest.MonkeyPatch.context() as patch,
        start_server(tmp_path_factory.mktemp("other")) as server,
    ):
        patch.setenv("DISTEXEC_SECRET", secret.to_text(key))
        store = open_node_store(Endpoint.parse(server.url), Settings())
        public = {"python": "2.7", "wire": WIRE_VERSION, "key": Seal(key).key_id.hex()}
        record = {**public, "version": "0.1.0", "host": "museum"}
        body = json.dumps({**record, "queues": ["distexec"], "slots": 1, "children": [1]})
        sealed = Seal(key).seal(Direction.CONTROL, places.node("old@museum"), body.encode())
        store.beat("old@museum", json.dumps(record).encode() + b"\n" + sealed, 60)

        error = refusal(server.url)

        store.close()
    assert isinstance(error, distexec.ClusterMismatch)
    assert all(word in str(error) for word in ("2.7", places.PYTHON, "old@museum", "museum"))


def test_a_queue_that_nobody_serves_is_reported(
    cluster: RealCluster, nodes: list[NodeProcess], caplog: pytest.LogCaptureFixture
) -> None:
    """Once, naming queue and cluster, without the password; the call waits, for one may come."""
    caplog.set_level(logging.WARNING, "distexec")
    executor = connect(cluster, queue="nobody")
    future = executor.submit(calls.nothing)

    def warnings() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name.startswith("distexec")]

    began = time.monotonic()
    eventually(warnings)

    (warning,) = warnings()
    assert time.monotonic() - began < 3
    assert "'nobody'" in warning and f"127.0.0.1:{cluster.server.port}" in warning
    assert cluster.server.password not in warning
    assert not future.done() and future.cancel()
    executor.shutdown()


# Nodes that go and come -----------------------------------------------------------------------


def test_a_node_that_comes_later_serves_what_waits(
    cluster: RealCluster, nodes: list[NodeProcess]
) -> None:
    """Calls were there first."""
    with connect(cluster, queue="late") as executor:
        future = executor.submit(deeds.where)
        late = cluster.start("late", "late")

        assert future.result(timeout=25) == "late"
    late.kill()


def test_a_node_that_is_stopped_hands_its_calls_back(
    cluster: RealCluster, nodes: list[NodeProcess], gate: Gate, ledger: str
) -> None:
    """SIGTERM: what runs ends there, what was only taken is run elsewhere, and nothing twice."""
    leaving, staying = cluster.start("leaving", "shift"), cluster.start("staying", "shift")
    cluster.ready(leaving, staying)
    with connect(cluster, queue="shift") as executor:
        futures = [executor.submit(deeds.noted_where, ledger, gate.path, n) for n in range(30)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 2)

        leaving.stop()
        eventually(lambda: cluster.records()["leaving"]["state"] == "draining")
        gate.open()

        results = [future.result(timeout=25) for future in futures]
    assert [value for value, _ in results] == list(range(30))
    assert len(calls.read_ledger(ledger)) == 30
    assert sum(node == "leaving" for _, node in results) == 1
    assert leaving.process.wait(20) == 0
    assert "leaving" not in cluster.records()
    staying.kill()


def test_calls_of_a_killed_node_complete_elsewhere(
    cluster: RealCluster, nodes: list[NodeProcess], gate: Gate, ledger: str
) -> None:
    """A power cut: nobody says a word, and its calls run again after the expiry."""
    victim, heir = cluster.start("victim", "risky"), cluster.start("heir", "risky")
    cluster.ready(victim, heir)
    with connect(cluster, queue="risky") as executor:
        futures = [executor.submit(deeds.noted_where, ledger, gate.path, n) for n in range(2)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 2)
        eventually(lambda: all(future.running() for future in futures))

        victim.kill()
        died = time.monotonic()
        gate.open()

        results = [future.result(timeout=25) for future in futures]
        assert time.monotonic() - died < EXPIRY_SECONDS + 3
        assert {node for _, node in results} == {"heir"}
        assert [value for value, _ in results] == [0, 1]
        assert len(calls.read_ledger(ledger)) == 3
        assert executor.statistics().retried == 1
    heir.kill()


def test_a_lost_call_without_a_node_waits_for_one(
    cluster: RealCluster, nodes: list[NodeProcess], gate: Gate, ledger: str
) -> None:
    """The only node of a queue dies and is replaced: its calls have not been forgotten."""
    only = cluster.start("only", "single")
    cluster.ready(only)
    with connect(cluster, queue="single") as executor:
        futures = [executor.submit(deeds.noted_where, ledger, gate.path, n) for n in range(5)]
        eventually(lambda: calls.read_ledger(ledger))
        only.kill()
        gate.open()
        replacement = cluster.start("replacement", "single")

        results = [future.result(timeout=28) for future in futures]

    assert results == [(n, "replacement") for n in range(5)]
    replacement.kill()


def test_a_second_node_of_the_same_name_is_refused(
    cluster: RealCluster, nodes: list[NodeProcess]
) -> None:
    """Their beats would bury each other's living processes; the name of a dead one is free."""
    second = cluster.start("n1", "left")
    assert second.process.wait(timeout=60) == 1
    assert "a node 'n1@" in second.log.read_text()
    assert "give this one another --name" in second.log.read_text()

    last = cluster.start("last", "left")
    cluster.ready(last)
    dead = cluster.records()["last"]["pid"]
    last.kill()
    heir = cluster.start("last", "left")
    # The dead one's record stays until it expires.
    eventually(lambda: cluster.records().get("last", {}).get("pid", dead) != dead, timeout=60)
    heir.stop()
    assert heir.process.wait(timeout=60) == 0
