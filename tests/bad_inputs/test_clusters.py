"""Rows 56 to 66 and 69: clusters that are not there, not ours, or not what they seem."""

import importlib
import json
import logging
import secrets
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import distexec
from conftest import eventually
from distexec.errors import (
    ClusterError,
    ClusterMismatch,
    ClusterRefused,
    ClusterUnavailable,
    ModuleMissing,
    SecretError,
)
from distexec.settings import Settings
from distexec.store.connect import open_node_store
from distexec.store.endpoint import Endpoint
from distexec.wire import places
from distexec.wire.records import WIRE_VERSION
from distexec.wire.seal import Direction, Seal
from distexec.wire.secret import load as secret_of_this_process
from properties import calls
from properties.worlds import EMBEDDED, OURS, Pools, World, on

from .servers import Server, refusal

Fake = Callable[[Callable[[bytes], bytes]], int]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short patience, so that what is waited for until a deadline is waited for briefly."""
    monkeypatch.setenv("DISTEXEC_CONNECT_SECONDS", "1")
    monkeypatch.setenv("DISTEXEC_UNAVAILABLE_SECONDS", "2")


# URLs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379",
        "127.0.0.1:6379",
        "localhost",
        "redis:/127.0.0.1",
        "redis://",
        "redis://:6379",
        "redis://127.0.0.1:port",
        "redis://127.0.0.1:0",
        "redis://127.0.0.1:65536",
        "redis://127.0.0.1:-1",
        "redis://127.0.0.1/not-a-number",
        "redis://h\u00f6st.example:6379",
        "redis://127.0.0.1 :6379",
        "redis://127.0.0.1\n:6379",
        "redis+socket://",
        "redis+socket://relative/path.sock",
        "threads ",
        "",
    ],
)
@pytest.mark.usefixtures("secret")
def test_url_that_means_no_server_is_refused_by_the_constructor(url: str) -> None:
    """Before anything is connected to, with what to write instead."""
    with pytest.raises(ValueError, match=r"redis://|host|port|database|socket|space|URL"):
        distexec.DistributedExecutor(1, cluster=url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hunter2@127.0.0.1:port",
        "redis://user:hunter2@",
        "redis://:hunter2@h\u00f6st:1",
        "http://user:hunter2@127.0.0.1",
        "redis://user:hun/hunter2@127.0.0.1",
    ],
)
@pytest.mark.usefixtures("secret")
def test_password_in_a_wrong_url_is_never_shown(url: str) -> None:
    """Error texts end up in logs and in bug reports."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        distexec.DistributedExecutor(1, cluster=url)

    chain: list[BaseException | None] = [refused.value, refused.value.__cause__]
    assert "hunter2" not in "".join(repr(error) + str(error) for error in chain)


@pytest.mark.parametrize("cluster", [42, b"redis://127.0.0.1", ["redis://127.0.0.1"], True])
def test_cluster_of_a_wrong_type_is_refused(cluster: Any) -> None:
    """By the type's name, and by what a cluster may be."""
    with pytest.raises(TypeError, match=type(cluster).__name__):
        distexec.DistributedExecutor(1, cluster=cluster)


@pytest.mark.usefixtures("secret")
def test_url_of_the_environment_is_checked_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in DISTEXEC_URL must not silently start an embedded cluster."""
    monkeypatch.setenv("DISTEXEC_URL", "http://127.0.0.1")

    with pytest.raises(ValueError, match="redis://"):
        distexec.DistributedExecutor(1)


@pytest.mark.parametrize(
    "queue", ["*", "{}", "two words", "line\n", "", "x" * 10_000, "\u00e4", 42]
)
@pytest.mark.parametrize("where", ["constructor", "options"])
def test_queue_name_with_a_meaning_is_refused(queue: Any, where: str) -> None:
    """Names become parts of keys and of patterns: there they would reach what is not theirs."""
    with distexec.DistributedExecutor(1, cluster="threads") as executor:
        naming = {
            "constructor": partial(distexec.DistributedExecutor, 1, cluster="threads"),
            "options": executor.options,
        }

        with pytest.raises((ValueError, TypeError), match="queue"):
            naming[where](queue=queue)


# Servers that are not there, or refuse ----------------------------------------------------------


@pytest.mark.usefixtures("secret")
def test_server_that_is_not_there_is_named() -> None:
    """The address is the first thing to look at."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    error = refusal(f"redis://127.0.0.1:{port}")

    assert isinstance(error, ClusterUnavailable) and isinstance(error, ConnectionError)
    assert f"127.0.0.1:{port}" in str(error)


@pytest.mark.usefixtures("secret")
def test_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Most likely its cluster has ended."""
    error = refusal(f"redis+socket://{tmp_path}/server.sock")

    assert isinstance(error, ClusterUnavailable)
    assert str(tmp_path) in str(error)


@pytest.mark.usefixtures("secret")
def test_host_without_an_address_is_named() -> None:
    """A name that no server knows fails like a server that is not there."""
    error = refusal("rediss://nowhere.invalid:6380")

    assert isinstance(error, ClusterUnavailable) and "nowhere.invalid" in str(error)


@pytest.mark.usefixtures("secret")
def test_wrong_password_is_refused_at_once(server: Server) -> None:
    """Tried again, it would stay wrong, and lock accounts. It is not shown, either."""
    for login in (":wrong-hunter2@", "nobody:wrong-hunter2@", ""):
        error = refusal(f"redis://{login}127.0.0.1:{server.port}")

        assert isinstance(error, ClusterRefused) and isinstance(error, PermissionError)
        assert f"127.0.0.1:{server.port}" in str(error)
        assert "password" in str(error).lower()
        assert "hunter2" not in str(error) + repr(error.__cause__)


@pytest.mark.usefixtures("secret")
def test_user_without_permission_is_refused(server: Server) -> None:
    """The server knows which permission is missing: its words are handed on."""
    server.command("ACL SETUSER weak on >weak-password ~* +ping +hello +auth +select +client")

    error = refusal(f"redis://weak:weak-password@127.0.0.1:{server.port}")

    assert isinstance(error, ClusterRefused)
    assert "permission" in str(error).lower()


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (b"redis_version:6.0.16\r\nredis_mode:standalone\r\n", "Redis 6.0.16"),
        (b"redis_version:7.2.4\r\nredis_mode:cluster\r\n", "Redis Cluster"),
    ],
    ids=["too old", "cluster"],
)
@pytest.mark.usefixtures("secret")
def test_server_that_cannot_do_the_work_is_named(
    fake_server: Fake, told: bytes, named: str
) -> None:
    """Commands it does not know would fail one by one, with errors about their syntax."""
    port = fake_server(lambda asked: b"$%d\r\n%b\r\n" % (len(told), told))

    error = refusal(f"redis://127.0.0.1:{port}")

    assert isinstance(error, ClusterError)
    assert named in str(error) and f"127.0.0.1:{port}" in str(error)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("silent", None),
        ("hangs up", b""),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
        ("garbage", bytes(range(256))),
        ("TLS alert", b"\x15\x03\x01\x00\x02\x02\x46"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.usefixtures("secret")
def test_server_that_is_no_redis_is_named(
    fake_server: Fake, name: str, answer: bytes | None
) -> None:
    """A port is easily mistaken; the error must not be one about protocol bytes alone."""
    if answer is None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            error = refusal(f"redis://127.0.0.1:{port}")
    else:
        port = fake_server(lambda asked: answer)
        error = refusal(f"redis://127.0.0.1:{port}")

    assert isinstance(error, ClusterError)
    assert f"127.0.0.1:{port}" in str(error)


@pytest.mark.usefixtures("secret")
def test_tls_on_a_plain_port_is_named(server: Server) -> None:
    """``rediss`` for ``redis`` is one letter."""
    error = refusal(f"rediss://:{server.password}@127.0.0.1:{server.port}")

    assert isinstance(error, ClusterError)
    assert f"127.0.0.1:{server.port}" in str(error) and server.password not in str(error)
    assert "TLS" in str(error) or "SSL" in str(error) or "certificate" in str(error)


@pytest.mark.usefixtures("secret")
def test_server_that_loads_its_data_is_waited_for_and_named(fake_server: Fake) -> None:
    """It will answer soon; if it does not, the error says why."""
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    port = fake_server(lambda asked: loading * max(1, asked.count(b"*")))

    error = refusal(f"redis://127.0.0.1:{port}")

    assert isinstance(error, ClusterError)
    assert "loading" in str(error).lower()


@pytest.mark.usefixtures("secret")
def test_replica_is_named(replica: Server) -> None:
    """After a failover the old address may be one that cannot be written to."""
    error = refusal(replica.url)

    assert isinstance(error, ClusterError)
    assert "read" in str(error).lower() or "replica" in str(error).lower()


# Secrets --------------------------------------------------------------------------------------


def test_remote_cluster_without_a_secret_does_not_start(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Unsigned, whoever reaches the server could run code here: the error says how to make one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DISTEXEC_SECRET", raising=False)

    error = refusal(server.url)

    assert isinstance(error, SecretError)
    assert "distexec keygen" in str(error) and "DISTEXEC_SECRET" in str(error)


@pytest.mark.parametrize("text", ["short", "not base64 at all!" * 3, "=" * 43, "\u00e4" * 43])
def test_malformed_secret_is_refused_and_not_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A weak or cut secret is as bad as none."""
    monkeypatch.setenv("DISTEXEC_SECRET", text)

    error = refusal(server.url)

    assert isinstance(error, SecretError)
    assert "DISTEXEC_SECRET" in str(error) and text not in str(error)


def test_secret_that_others_can_read_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As ssh does: the message has the command that repairs it."""
    path = tmp_path / "secret.key"
    path.write_text(secrets.token_urlsafe(32))
    path.chmod(0o644)
    monkeypatch.setenv("DISTEXEC_SECRET_FILE", str(path))

    error = refusal(server.url)

    assert isinstance(error, SecretError)
    assert str(path) in str(error) and "chmod" in str(error)


@pytest.mark.usefixtures("secret")
def test_caller_with_another_secret_is_refused_at_once(tmp_path: Path) -> None:
    """Silence would look like a slow cluster: both sides are named, by the ids of their secrets."""
    with distexec.LocalCluster(1) as cluster:
        cluster.wait_ready()
        # The way to the server and its password, without the secret that lies beside them.
        folder = Path(cluster.url.partition("://")[2]).parent
        for name in ("server.sock", "server.password"):
            (tmp_path / name).symlink_to(folder / name)

        error = refusal(f"redis+socket://{tmp_path}/server.sock")

    assert isinstance(error, ClusterMismatch)
    assert "secret" in str(error)


# Nodes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("difference", "names"),
    [
        ({"python": "3.99"}, ("3.99", f"{sys.version_info[0]}.{sys.version_info[1]}")),
        ({"wire": 99}, ("99", str(WIRE_VERSION))),
    ],
    ids=["python", "wire"],
)
@pytest.mark.usefixtures("secret")
def test_node_that_does_not_fit_is_refused_at_once(
    server: Server, difference: dict[str, Any], names: tuple[str, str]
) -> None:
    """Pickled code of another Python fails in strange ways: both versions are named instead."""
    seal = Seal(*secret_of_this_process())
    public = {
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "wire": WIRE_VERSION,
        "version": distexec.__version__,
        "key": seal.key_id.hex(),
        "host": "elsewhere",
    }
    private = {"name": "odd", "pid": 1, "queues": ["distexec"], "slots": 1, "children": []}
    frame = json.dumps(public | difference).encode() + b"\n"
    frame += seal.seal(Direction.CONTROL, places.node("odd"), json.dumps(private).encode())
    nodes = open_node_store(Endpoint.parse(server.url), Settings())
    try:
        nodes.beat("odd", frame, 30.0)

        error = refusal(server.url)
    finally:
        nodes.leave("odd")
        nodes.close()

    assert isinstance(error, ClusterMismatch)
    assert all(name in str(error) for name in ("odd", "elsewhere", *names))


@pytest.mark.usefixtures("secret")
def test_queue_without_a_worker_is_reported(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The call waits, since a worker may come; but nobody should have to guess."""
    with caplog.at_level(logging.WARNING, "distexec"):
        executor = distexec.DistributedExecutor(1, cluster=server.url, queue="lonely")
        future = executor.submit(calls.square, 2)

        eventually(lambda: any("lonely" in r.getMessage() for r in caplog.records), timeout=8)

        assert not future.done()
        assert future.cancel()
        executor.shutdown()
    [report] = [r.getMessage() for r in caplog.records if "lonely" in r.getMessage()]
    assert "distexec worker" in report and server.password not in report


@on(*EMBEDDED)
def test_module_that_workers_lack_is_named(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the node and the option that sends it along; and the worker is not blamed for dying."""
    (tmp_path / "module_of_the_caller.py").write_text("def hello(): return 'hello'\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("module_of_the_caller")
    sys.path.remove(str(tmp_path))
    try:
        with world.make(1) as executor:
            error = executor.submit(module.hello).exception(timeout=20)

            assert isinstance(error, ModuleMissing) and isinstance(error, ModuleNotFoundError)
            assert error.name == "module_of_the_caller"
            assert "module_of_the_caller" in str(error) and "ship" in str(error)
            assert executor.submit(calls.square, 3).result(timeout=20) == 9
    finally:
        del sys.modules["module_of_the_caller"]


@on("embedded")
def test_shipped_module_needs_not_be_there(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``ship=`` sends the caller's own code by value."""
    (tmp_path / "shipped_module.py").write_text(
        "FACTOR = 3\ndef triple(n): return helper(n)\ndef helper(n): return FACTOR * n\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("shipped_module")
    sys.path.remove(str(tmp_path))
    try:
        with distexec.DistributedExecutor(1, ship=[module]) as executor:
            assert executor.submit(module.triple, 4).result(timeout=20) == 12
    finally:
        del sys.modules["shipped_module"]


@pytest.mark.parametrize("ship", [["no_such_module_anywhere"], [42], "a_text", 42])
def test_senseless_ship_is_refused_by_the_constructor(ship: Any) -> None:
    """A module that the caller lacks cannot be sent."""
    with pytest.raises((ValueError, TypeError, ModuleNotFoundError), match=r"ship|no_such_module"):
        distexec.DistributedExecutor(1, cluster="threads", ship=ship)


@on(*OURS)
def test_healthy_cluster_is_silent(
    world: World, pool: Pools, caplog: pytest.LogCaptureFixture
) -> None:
    """Warnings are for what is wrong: nothing is said of what works."""
    with caplog.at_level(logging.WARNING):
        assert list(pool(world, 2).map(calls.square, range(20))) == [n * n for n in range(20)]

    assert [r for r in caplog.records if r.name.startswith("distexec")] == []
