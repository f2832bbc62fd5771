"""Callers that die or sleep, and those whose server stays away."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

import distexec
from cluster.rig import PATHS, RealCluster
from conftest import eventually
from properties import calls
from properties.conftest import Gate, gate, ledger

from . import deeds
from .rig import FragileServer, fragile_cluster

__all__ = ["gate", "ledger"]

#: How long the keys of these callers live without them.
EXPIRIES = {"DISTEXEC_SESSION_EXPIRY_SECONDS": "1", "DISTEXEC_KEY_EXPIRY_SECONDS": "2"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """A server with a node of two slots."""
    with (
        fragile_cluster(tmp_path_factory.mktemp("cluster")) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("DISTEXEC_SECRET", cluster.secret_text)
        cluster.ready(cluster.start("n1", "distexec", 2))
        yield cluster


@contextlib.contextmanager
def program(
    cluster: RealCluster, ledger: str, gate: Gate, count: int
) -> Iterator["subprocess.Popen[str]"]:
    """A caller of its own; gone at the end of the block."""
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "outages.program",
            cluster.server.url,
            ledger,
            gate.path,
            str(count),
        ],
        env={**os.environ, **EXPIRIES, "PYTHONPATH": os.pathsep.join(PATHS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def running(ledger: str) -> list[int]:
    """The processes that started a call."""
    return [int(line.split()[2]) for line in calls.read_ledger(ledger) if line.startswith("start")]


def has_no_keys(cluster: RealCluster) -> bool:
    """Whether the server holds nothing of any session."""
    assert isinstance(cluster.server, FragileServer)
    with cluster.server.operator() as link:
        found = link.call("KEYS", "dx:{*")
    return all(key.startswith((b"dx:{nodes}", b"dx:{totals}")) for key in found)


def test_what_runs_for_a_caller_that_died_is_stopped(
    cluster: RealCluster, gate: Gate, ledger: str
) -> None:
    """Nobody will ever ask for it, and others want the slots."""
    with program(cluster, ledger, gate, 4) as process:
        eventually(lambda: len(running(ledger)) == 2, 20)
        process.kill()

    eventually(lambda: not any(map(psutil.pid_exists, running(ledger))))
    eventually(lambda: has_no_keys(cluster))
    with distexec.ProcessPoolExecutor(2, cluster=cluster.server.url) as executor:
        assert executor.submit(calls.square, 3).result(timeout=20) == 9
    assert len(running(ledger)) == 2, "calls of a dead caller were started"


def test_a_caller_that_slept_for_long_says_so_and_goes_on(
    cluster: RealCluster, gate: Gate, ledger: str
) -> None:
    """The lid was closed over night: its keys have expired, and it sends its calls again."""
    with program(cluster, ledger, gate, 4) as process:
        eventually(lambda: len(running(ledger)) == 2, 20)
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: has_no_keys(cluster))

        process.send_signal(signal.SIGCONT)
        gate.open()
        output, errors = process.communicate(timeout=40)

    assert output == "[0, 1, 2, 3]\n"
    assert "had forgotten this session" in errors
    assert "4 calls are sent again" in errors


def test_a_server_that_stays_away_fails_what_waits_for_it(
    cluster: RealCluster, gate: Gate, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the limit that the user sets: futures, a submit that waits for room, and the rest."""
    monkeypatch.setenv("DISTEXEC_UNAVAILABLE_SECONDS", "1")
    monkeypatch.setenv("DISTEXEC_CONNECT_SECONDS", "0.5")
    assert isinstance(cluster.server, FragileServer)
    executor = distexec.ProcessPoolExecutor(2, cluster=cluster.server.url, max_waiting=3)
    futures = [executor.submit(deeds.work, ledger, gate.path, n) for n in range(4)]
    eventually(lambda: len(running(ledger)) == 2)
    refused: list[Exception] = []

    def submit_many() -> None:
        try:
            while True:
                futures.append(executor.submit(deeds.work, ledger, gate.path, 0))
        except Exception as error:
            refused.append(error)

    thread = threading.Thread(target=submit_many)
    thread.start()
    with cluster.server.stalled():
        errors = [future.exception(timeout=25) for future in list(futures)]
        thread.join(25)
        executor.shutdown()

    assert all(isinstance(error, distexec.ClusterUnavailable) for error in errors)
    assert "DISTEXEC_UNAVAILABLE_SECONDS" in str(errors[0])
    assert isinstance(refused[0], distexec.ClusterUnavailable)
    gate.open()
    with distexec.ProcessPoolExecutor(2, cluster=cluster.server.url) as another:
        assert another.submit(calls.square, 3).result(timeout=20) == 9
