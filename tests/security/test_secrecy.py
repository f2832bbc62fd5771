"""Secrets and passwords are nowhere where others look, or where they are copied from."""

import logging
import os
import pickle
import stat
import traceback
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import distexec
from bad_inputs.conftest import start_server
from bad_inputs.servers import Server, refusal
from cluster.rig import RealCluster
from distexec.engine.membership import Membership
from distexec.errors import SecretError
from distexec.wire import secret
from distexec.wire.seal import Seal
from properties import calls

from . import deeds


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a password."""
    with start_server(tmp_path_factory.mktemp("server")) as server:
        yield server


def command_lines() -> str:
    """The command line of every process of this machine, as each of its users can read them."""
    found = []
    for process in psutil.process_iter():
        try:
            found.append(Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def test_a_remote_clusters_secrets_stay_where_they_were_given(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in a command line, a call's environment, a log (at any level), a repr or statistics."""
    cluster = RealCluster(server, tmp_path)
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.DEBUG):
        patch.setenv("DISTEXEC_SECRET", cluster.secret_text)
        try:
            node = cluster.start("canary", "distexec")
            with distexec.DistributedExecutor(1, cluster=cluster.url) as executor:
                seen = executor.submit(deeds.environments).result(timeout=30)
                error = executor.submit(calls.throw, ValueError("x")).exception(timeout=20)
                assert error is not None
                seen += [
                    repr(executor),
                    str(executor),
                    str(executor.statistics()),
                    "".join(traceback.format_exception(error)),
                    repr(pickle.dumps(error)),
                    command_lines(),
                ]
            # The server's own is the test's: it was started with it.
            seen[-1] = "\n".join(
                line for line in seen[-1].splitlines() if "--requirepass" not in line
            )
            seen += [node.log.read_text(), caplog.text]
        finally:
            cluster.close()

    for canary in (cluster.secret_text, cluster.secret.hex(), server.password):
        assert [text[:300] for text in seen if canary in text] == []


@pytest.mark.parametrize("wrong", ["password", "database", "host"])
def test_errors_do_not_show_the_password(server: Server, wrong: str) -> None:
    """Nor their causes and tracebacks, which end up in reports."""
    hidden = "hunter2-canary"
    url = {
        "password": f"redis://:{hidden}@127.0.0.1:{server.port}",
        "database": f"redis://:{hidden}@127.0.0.1:{server.port}/77",
        "host": f"rediss://:{hidden}@nowhere.invalid:1",
    }[wrong]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTEXEC_SECRET", secret.to_text(secret.generate()))

        error = refusal(url)

    text = "".join(traceback.format_exception(error)) + repr(error) + repr(pickle.dumps(error))
    assert hidden not in text


def test_what_holds_secrets_does_not_show_them(server: Server) -> None:
    """Reprs are printed by debuggers, test runners and error trackers."""
    text = secret.to_text(secret.generate())
    membership = Membership.of_environment(server.url, {"DISTEXEC_SECRET": text})
    (key,) = secret.from_text(text)

    shown = repr(membership) + str(membership.endpoint) + repr(membership.seal)

    assert text not in shown and key.hex() not in shown and server.password not in shown
    with pytest.raises(TypeError):
        pickle.dumps(membership)
    with pytest.raises(TypeError):
        pickle.dumps(Seal(key))


def test_an_embedded_clusters_secrets_are_in_its_folder_only() -> None:
    """A socket and files for us alone; no port; nothing in environments and command lines."""
    before = set(psutil.Process().children())
    with distexec.LocalCluster(1) as cluster:
        folder, password = cluster.endpoint.folder, cluster.endpoint.password
        assert folder is not None and password is not None
        with distexec.DistributedExecutor(1, cluster=cluster) as executor:
            seen = executor.submit(deeds.environments).result(timeout=30)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        own = set(psutil.Process().children()) - before
        tree = [*own, *(each for process in own for each in process.children(recursive=True))]
        folder_mode = stat.S_IMODE(folder.stat().st_mode)
        ports = [each for process in tree for each in process.net_connections("inet")]
        seen += [str(process.environ()) for process in tree if process.is_running()]
        seen += [command_lines(), repr(cluster), cluster.url, str(os.environ)]
        seen += [(folder / name).read_text() for name in ("node.log", "server.log")]

    assert folder_mode == 0o700
    assert {modes[name] for name in ("server.sock", "server.password", "secret.key")} == {0o600}
    assert len(tree) >= 4 and ports == []
    for canary in (password, cluster.secret.hex(), secret.to_text(cluster.secret)):
        assert [text[:300] for text in seen if canary in text] == []


def test_a_key_file_that_others_can_read_is_refused_by_nodes_too(tmp_path: Path) -> None:
    """Whoever read it once can sign for ever: better not to start."""
    path = tmp_path / "secret.key"
    secret.write(path)
    path.chmod(0o644)

    with pytest.raises(SecretError, match="chmod 600"):
        Membership.of_environment("redis://127.0.0.1", {"DISTEXEC_SECRET_FILE": str(path)})
