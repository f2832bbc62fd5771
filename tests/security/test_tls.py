"""Over a network: the server proves who it is, or nothing is said to it."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

import distexec
from bad_inputs.conftest import start_server
from bad_inputs.servers import Server, refusal
from cluster.rig import RealCluster
from distexec.errors import ClusterRefused
from properties import calls

from .tls import Authority, proxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the cluster's operator trusts."""
    return Authority(tmp_path_factory.mktemp("authority"), "trusted")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server behind the proxies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTEXEC_SECRET", secrets.token_urlsafe(32))
        with start_server(tmp_path_factory.mktemp("server")) as server:
            yield server


def url_of(server: Server, port: int, authority: Authority | None) -> str:
    trust = f"?ssl_ca_certs={authority.path}" if authority else ""
    return f"rediss://:{server.password}@127.0.0.1:{port}{trust}"


def test_calls_travel_through_tls(server: Server, authority: Authority, tmp_path: Path) -> None:
    """Wake-ups through kombu, calls and replies through our own connections, node and caller."""
    with proxy(server.port, authority.context("127.0.0.1")) as port:
        cluster = RealCluster(server, tmp_path)
        cluster.url = cluster.node_url = url_of(server, port, authority)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DISTEXEC_SECRET", cluster.secret_text)
            try:
                node = cluster.start("behind-tls", "distexec")
                with distexec.DistributedExecutor(1, cluster=cluster.url) as executor:
                    assert executor.submit(calls.square, 3).result(timeout=30) == 9
                    data = bytes(3_000_000)
                    assert executor.submit(len, data).result(timeout=30) == len(data)
                assert "rediss://:**@" in node.log.read_text()
            finally:
                cluster.close()


@pytest.mark.parametrize(
    ("host", "expired", "trusts", "said"),
    [
        ("127.0.0.1", False, "another", "authority"),
        ("127.0.0.1", False, None, "authority"),
        ("127.0.0.1", True, "it", "expired"),
        ("queue.example.org", False, "it", "127.0.0.1"),
    ],
    ids=["wrong authority", "unknown authority", "expired", "wrong host name"],
)
def test_a_server_that_cannot_prove_who_it_is_is_refused(
    server: Server, authority: Authority, tmp_path: Path,
    host: str, expired: bool, trusts: str | None, said: str,
) -> None:  # fmt: skip
    """At once and in words: it could be anybody, who would read each call and the password."""
    chosen = {"it": authority, "another": Authority(tmp_path, "another"), None: None}[trusts]
    with proxy(server.port, authority.context(host, expired=expired)) as port:
        error = refusal(url_of(server, port, chosen))

    assert isinstance(error, ClusterRefused)
    assert "certificate" in str(error) and said in str(error)
    assert f"127.0.0.1:{port}" in str(error) and server.password not in str(error)
    if said == "authority":
        assert "ssl_ca_certs" in str(error)


def test_plain_redis_on_a_tls_port_is_named(server: Server, authority: Authority) -> None:
    """``redis`` for ``rediss`` is one letter, and the password must not be said in clear."""
    with proxy(server.port, authority.context("127.0.0.1")) as port:
        error = refusal(f"redis://:{server.password}@127.0.0.1:{port}")

    assert isinstance(error, distexec.ClusterError)
    assert "rediss://" in str(error) and server.password not in str(error)


def test_another_host_without_tls_wants_a_word() -> None:
    """Who says nothing gets no plain connection over a network."""
    with pytest.raises(ValueError, match="allow_plaintext=true"):
        distexec.DistributedExecutor(1, cluster="redis://10.255.255.1")
