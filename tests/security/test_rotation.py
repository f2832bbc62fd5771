"""A cluster changes its secret while it works; nothing is lost, and the old one is out then."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import distexec
from bad_inputs.conftest import start_server
from bad_inputs.servers import refusal
from cluster.rig import RealCluster
from distexec.wire import secret
from distexec.wire.seal import Seal
from properties import calls


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """A server; its nodes and callers read the secret from one file."""
    folder = tmp_path_factory.mktemp("rotation")
    with pytest.MonkeyPatch.context() as patch, start_server(folder) as server:
        cluster = RealCluster(server, folder)
        patch.setenv("DISTEXEC_SECRET_FILE", str(folder / "secret.key"))
        cluster.secret_text = ""  # The nodes' variable; empty, it is as if it were not set.
        try:
            yield cluster
        finally:
            cluster.close()


def keygen(path: Path, *options: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "distexec", "keygen", "--file", str(path), *options],
        check=True,
        capture_output=True,
    )


def test_a_secret_is_changed_under_running_nodes_and_callers(cluster: RealCluster) -> None:
    """`distexec keygen --rotate`, and every process starts again when it likes."""
    path = cluster.folder / "secret.key"
    keygen(path)
    (old,) = secret.read(path)
    cluster.secret = old
    node = cluster.start("old", "distexec")
    cluster.ready(node)

    with distexec.ProcessPoolExecutor(1, cluster=cluster.url) as veteran:
        assert veteran.submit(calls.square, 3).result(timeout=20) == 9

        keygen(path, "--rotate")
        new = secret.read(path)[0]
        assert secret.read(path) == (new, old)

        # A new caller signs with the new secret, which the running node has never seen ...
        with distexec.ProcessPoolExecutor(1, cluster=cluster.url) as novice:
            assert novice.submit(calls.square, 4).result(timeout=20) == 16
        # ... and a new node answers the running caller, which has not seen it either.
        node.stop()
        cluster.secret, cluster.older = new, (old,)
        successor = cluster.start("new", "distexec")
        cluster.ready(successor)
        assert veteran.submit(calls.square, 5).result(timeout=20) == 25
        assert list(veteran.map(calls.square, range(50))) == [n * n for n in range(50)]


def test_the_old_secret_is_refused_in_the_end(
    cluster: RealCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its line is removed and the nodes started again, who has only the old one is out."""
    path = cluster.folder / "secret.key"
    new, old = secret.read(path)
    path.write_text(secret.to_text(new) + "\n")
    for node in cluster.started:
        node.kill()
    cluster.secret, cluster.older = new, (old,)
    cluster.ready(cluster.start("last", "distexec"))
    monkeypatch.setenv("DISTEXEC_SECRET", secret.to_text(old))

    error = refusal(cluster.url)

    assert isinstance(error, distexec.ClusterMismatch)
    assert Seal(old).key_id.hex() in str(error) and Seal(new).key_id.hex() in str(error)
    monkeypatch.delenv("DISTEXEC_SECRET")
    with distexec.ProcessPoolExecutor(1, cluster=cluster.url) as executor:
        assert executor.submit(calls.square, 6).result(timeout=20) == 36
