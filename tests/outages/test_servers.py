"""A server that dies, forgets, fills up or freezes: every call completes, on the same workers."""

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from cluster.rig import RealCluster
from conftest import eventually
from properties import calls
from properties.conftest import Gate, gate, ledger

from . import deeds
from .rig import FragileServer, executor, fragile_cluster

__all__ = ["gate", "ledger"]

#: Everything that was acknowledged is there after the death of the process.
KEEPS_ITS_DATA = ("--appendonly", "yes")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """A server with its data on disk and one node of two slots, for all tests of the module."""
    with (
        fragile_cluster(tmp_path_factory.mktemp("cluster"), *KEEPS_ITS_DATA) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("DISTEXEC_SECRET", cluster.secret_text)
        patch.setenv("DISTEXEC_CONNECT_SECONDS", "0.5")
        cluster.ready(cluster.start("n1", "distexec", slots=2))
        yield cluster


def started(ledger: str) -> Counter[str]:
    """How often each call started."""
    lines = (line.split() for line in calls.read_ledger(ledger))
    return Counter(value for word, value, _ in lines if word == "start")


def is_noticed_by_node(cluster: RealCluster) -> bool:
    """Whether the node said that the server is away, and not yet that it is back."""
    log = cluster.started[0].log.read_text()
    return log.count("cannot reach its cluster") > log.count("reaches its cluster again")


def ended(ledger: str) -> int:
    return sum(line.startswith("end") for line in calls.read_ledger(ledger))


# The ways to be away, with all data ---------------------------------------------------------------


@contextlib.contextmanager
def dead(server: FragileServer) -> Iterator[None]:
    server.kill()
    yield
    server.start(*KEEPS_ITS_DATA)


@contextlib.contextmanager
def told(server: FragileServer, *command: str, back: tuple[str, ...]) -> Iterator[None]:
    """Let the operator do something, and the opposite afterwards."""
    with server.operator() as link:
        link.call(*command)
        yield
        link.call(*back)


def full(server: FragileServer) -> contextlib.AbstractContextManager[None]:
    limit = ("CONFIG", "SET", "maxmemory")
    return told(server, *limit, "1", back=(*limit, "0"))


def read_only(server: FragileServer) -> contextlib.AbstractContextManager[None]:
    return told(server, "REPLICAOF", "127.0.0.1", "1", back=("REPLICAOF", "NO", "ONE"))


def without_replicas(server: FragileServer) -> contextlib.AbstractContextManager[None]:
    least = ("CONFIG", "SET", "min-replicas-to-write")
    return told(server, *least, "1", back=(*least, "0"))


@contextlib.contextmanager
def paused(server: FragileServer) -> Iterator[None]:
    """Three seconds long, for its operator as well."""
    with server.operator() as link:
        link.call("CLIENT", "PAUSE", "3000")
    yield


Fault = Callable[[FragileServer], contextlib.AbstractContextManager[None]]


@pytest.mark.parametrize(
    "fault", [dead, full, read_only, without_replicas, paused, FragileServer.stalled]
)
def test_what_finished_while_the_server_was_away_does_not_run_again(
    cluster: RealCluster,
    gate: Gate,
    ledger: str,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Their leases hold the replies until somebody hears them; nothing is repeated for that."""
    server = cluster.server
    assert isinstance(server, FragileServer)
    caplog.set_level(logging.INFO, "distexec.client")
    with executor(cluster, 2) as pool:
        futures = [pool.submit(deeds.work, ledger, gate.path, n) for n in range(8)]
        eventually(lambda: len(started(ledger)) == 2)
        children = cluster.records()["n1"]["children"]
        eventually(lambda: not is_noticed_by_node(cluster))

        with fault(server):
            gate.open()
            eventually(lambda: ended(ledger) >= 2)
            eventually(lambda: "is away" in caplog.text)
            eventually(lambda: is_noticed_by_node(cluster))
            submitted_meanwhile = pool.submit(deeds.work, ledger, gate.path, "late")

        assert [future.result(timeout=25) for future in futures] == list(range(8))
        assert submitted_meanwhile.result(timeout=25) == "late"
    assert set(started(ledger).values()) == {1}
    assert len(started(ledger)) == 9
    eventually(lambda: cluster.records()["n1"]["children"] == children)


@contextlib.contextmanager
def emptied(server: FragileServer) -> Iterator[None]:
    with server.operator() as link:
        link.call("FLUSHALL")
    yield


@contextlib.contextmanager
def reborn(server: FragileServer) -> Iterator[None]:
    """It dies, and its disk is lost."""
    server.kill()
    for path in server.folder.glob("appendonlydir/*"):
        path.unlink()
    yield
    server.start(*KEEPS_ITS_DATA)


@pytest.mark.parametrize("fault", [emptied, reborn])
def test_a_server_that_forgets_everything_loses_no_call(
    cluster: RealCluster, gate: Gate, ledger: str, fault: Fault
) -> None:
    """Their caller holds every call: what ran may run once more, the rest runs once."""
    server = cluster.server
    assert isinstance(server, FragileServer)
    with executor(cluster, 2) as pool:
        futures = [pool.submit(deeds.work, ledger, gate.path, n) for n in range(8)]
        eventually(lambda: len(started(ledger)) == 2)

        with fault(server):
            pass
        gate.open()

        assert [future.result(timeout=25) for future in futures] == list(range(8))
        assert pool.statistics().retried == 0
    starts = started(ledger)
    assert len(starts) == 8
    assert sum(starts.values()) <= 10
