"""Limits over several callers and nodes: four programs, three nodes, one server."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import psutil
import pytest

import distexec
from bad_inputs.conftest import start_server
from conftest import eventually
from properties import calls
from properties.conftest import Gate, gate, ledger

from .rig import PATHS, RealCluster

__all__ = ["gate", "ledger"]

#: How long the keys of these callers live without them: so long a dead one keeps its permits.
EXPIRIES = {"DISTEXEC_SESSION_EXPIRY_SECONDS": "1", "DISTEXEC_KEY_EXPIRY_SECONDS": "2"}

#: Microseconds between two calls of 50/s.
INTERVAL = 20_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """Three nodes of two slots each; callers and nodes have the permissions of `distexec acl`."""
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch, start_server(folder) as server:
        cluster = RealCluster(server, folder, ["distexec"])
        patch.setenv("DISTEXEC_SECRET", cluster.secret_text)
        try:
            cluster.ready(*[cluster.start(f"n{n}", "distexec", 2) for n in range(3)])
            yield cluster
            assert server.command("ACL LOG") == "*0\r\n", "a limit's command is not granted"
        finally:
            cluster.close()


def caller(cluster: RealCluster, *words: str) -> "subprocess.Popen[str]":
    """Start a program that calls."""
    role, *rest = words
    return subprocess.Popen(
        [sys.executable, "-m", "cluster.limited_caller", role, cluster.url, *rest],
        env={**os.environ, **EXPIRIES, "PYTHONPATH": os.pathsep.join(PATHS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def outputs(callers: list["subprocess.Popen[str]"]) -> list[str]:
    """What they print; none is left."""
    try:
        return [each.communicate(timeout=60)[0] for each in callers]
    finally:
        for each in callers:
            each.kill()
            each.wait()


def limits_left(cluster: RealCluster) -> str:
    """The keys of limits on the server."""
    return cluster.server.command("KEYS dx:rate:*") + cluster.server.command("KEYS dx:permits:*")


def test_limits_hold_for_all_callers_and_nodes(
    cluster: RealCluster, tmp_path: Path, ledger: str
) -> None:
    """50/s: by the server's clock no half-open second has 51 instants, and none is left out.

    How much of it is used is judged by the best second: on a machine with other things to do, a
    caller may come too late now and then. Of six slots no more than two run what is limited to two.
    """
    folder = tmp_path / "meeting"
    folder.mkdir()
    said = outputs([caller(cluster, "share", str(folder), ledger, "25") for _ in range(4)])
    found = [json.loads(line) for line in said]
    instants = sorted(at for each in found for at in each["granted"])

    assert len(instants) >= 100  # A call that was given back, or slept through its own, has two.
    assert min(later - at for at, later in pairwise(instants)) >= INTERVAL
    seconds = [sum(at <= other < at + 10**6 for other in instants) for at in instants]
    used = (len(instants) - 1) * INTERVAL / (instants[-1] - instants[0])
    print(f"{max(seconds)} in the best second, {used:.1%} of the limit used over all")
    assert 45 <= max(seconds) <= 50
    assert {node for each in found for node in each["nodes"]} == {"n0", "n1", "n2"}

    assert [each["done"] for each in found] == [25] * 4
    together = accumulate(1 if line == "+" else -1 for line in calls.read_ledger(ledger))
    assert max(together) == 2
    eventually(lambda: limits_left(cluster) == "*0\r\n" * 2)


def test_a_killed_callers_permit_comes_back_when_its_call_was_stopped(
    cluster: RealCluster, ledger: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: two would run together. And not never: nobody else could run any more."""
    for name, value in EXPIRIES.items():
        monkeypatch.setenv(name, value)
    with caller(cluster, "hold", ledger, gate.path) as dead:
        assert dead.stdout is not None
        assert dead.stdout.readline() == "holds\n"
        dead.send_signal(signal.SIGKILL)
    (stopped,) = map(int, calls.read_ledger(ledger))

    with distexec.ProcessPoolExecutor(2, cluster=cluster.url) as executor:
        single = executor.options(max_concurrency=1, key="single")
        assert single.submit(psutil.pid_exists, stopped).result(timeout=60) is False

    assert len(calls.read_ledger(ledger)) == 1, "calls of a dead caller were started"
    eventually(lambda: limits_left(cluster) == "*0\r\n" * 2)
