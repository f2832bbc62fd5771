"""A URL is understood or refused before anything is sent, and its password is never shown."""

import json
import pickle
import traceback
from pathlib import Path

import pytest
from kombu import Connection

from distexec.errors import SecretError
from distexec.store.endpoint import PASSWORD_FILE, Endpoint

PASSWORD = "s3cr/t:@?#% ü"
QUOTED = "s3cr%2Ft%3A%40%3F%23%25%20%C3%BC"

ADDRESSES = [
    f"redis://:{QUOTED}@localhost",
    f"redis://me:{QUOTED}@127.0.0.1:7000/3",
    f"redis://:{QUOTED}@[::1]:7000/?db=3",
    f"rediss://me:{QUOTED}@cache.example.org:7000/3?ssl_ca_certs=/etc/my%20ca.pem",
    f"redis+socket://:{QUOTED}@/run/a%20b/server.sock?virtual_host=2",
    f"unix://:{QUOTED}@/run/server.sock?db=2",
]


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        ("redis://localhost", {"scheme": "redis", "host": "localhost", "port": 6379}),
        ("valkey://127.0.0.1:1/5", {"scheme": "redis", "port": 1, "database": 5}),
        ("redis://[::1]/?virtual_host=4", {"host": "::1", "database": 4}),
        ("redis://u@localhost", {"username": "u", "password": None}),
        (f"redis://u:{QUOTED}@localhost", {"username": "u", "password": PASSWORD}),
        ("redis://10.1.2.3?allow_plaintext=true", {"host": "10.1.2.3"}),
        ("rediss://a.example", {"scheme": "rediss", "ssl_check_hostname": True}),
        ("valkeys://a.example?ssl_check_hostname=false", {"ssl_check_hostname": False}),
        ("rediss://a?ssl_certfile=/c&ssl_keyfile=/k", {"ssl_certfile": "/c", "ssl_keyfile": "/k"}),
        ("redis+socket:///run/x.sock?db=1", {"path": "/run/x.sock", "database": 1, "host": ""}),
        ("unix:///run/a%20b.sock", {"scheme": "redis+socket", "path": "/run/a b.sock"}),
    ],
)
def test_url_means_what_it_means_elsewhere(url: str, meaning: dict[str, object]) -> None:
    """People bring the URLs that they give to Celery, redis-py or valkey-cli."""
    endpoint = Endpoint.parse(url)

    assert {name: getattr(endpoint, name) for name in meaning} == meaning


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "must begin with redis://"),
        ("localhost:6379", "must begin with redis://"),
        ("http://localhost", "must begin with redis://"),
        ("sentinel://localhost", "must begin with redis://"),
        ("redis://", "names no host"),
        ("redis:///1", "names no host"),
        ("redis://:6379", "names no host"),
        ("redis://localhost:0", "port 0"),
        ("redis://localhost:65536", "port"),
        ("redis://localhost:http", "port"),
        ("redis://[::1", "cannot be read"),
        ("redis://münchen", "xn--"),
        ("redis://-x", "not a host name"),
        ("redis://a_*b", "not a host name"),
        ("redis://local host", "space"),
        ("redis://localhost\n", "control character"),
        ("redis://localhost/first", "small number"),
        ("redis://localhost/-1", "small number"),
        ("redis://localhost/1?db=2", "several databases"),
        ("redis://localhost?db=1&db=2", "given twice"),
        ("redis://localhost?socket_timeout=1", "no option 'socket_timeout'"),
        ("redis://localhost#1", "%23"),
        ("redis://10.1.2.3", "allow_plaintext=true"),
        ("redis://localhost.example.org", "allow_plaintext=true"),
        ("redis://10.1.2.3?allow_plaintext=maybe", "true or false"),
        ("rediss://a?ssl_cert_reqs=none", "required"),
        ("rediss://a?ssl_keyfile=/k", "needs ssl_certfile"),
        ("redis+socket://run/x.sock", "three slashes"),
        ("redis+socket:///", "names no socket"),
        ("redis+socket:///run/", "names no socket"),
    ],
)
def test_bad_url_is_refused_with_advice(url: str, said: str) -> None:
    """A typing error must not become a time-out, or calls sent to another place."""
    with pytest.raises(ValueError, match="cluster URL") as caught:
        Endpoint.parse(url)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@localhost",
        "redis://:hunter2@",
        "redis://:hunter2@10.1.2.3",
        "redis://:hunter2@localhost:x",
        "redis://:hunt/er2@localhost",
        "redis://me:1/hunter2@localhost",
        "redis://me:1?hunter2@localhost",
        "redis://me:1#hunter2@localhost",
        "redis://me:hunter2@b@-",
        "redis://:hunter2",
        "redis://localhost?password=hunter2",
        "redis+socket:///run/x.sock?password=hunter2",
    ],
)
def test_refused_url_keeps_its_password(url: str) -> None:
    """Errors end up in logs and bug reports, with the chain of errors behind them."""
    with pytest.raises(ValueError, match="cluster URL") as caught:
        Endpoint.parse(url)

    shown = "".join(traceback.format_exception(caught.value, chain=True))
    # The source lines shown are this file's own, and hold the URL of the test and not of a user.
    message = str(caught.value) + repr(caught.value.__cause__)
    assert "er2" not in message
    assert "Port could not be cast" not in shown


@pytest.mark.parametrize("url", ADDRESSES)
def test_what_is_printed_has_no_password(url: str) -> None:
    """``repr`` and ``display`` go to logs and terminals."""
    endpoint = Endpoint.parse(url)

    for shown in (repr(endpoint), str(endpoint), endpoint.display, f"{[endpoint]}"):
        assert PASSWORD not in shown
        assert QUOTED not in shown
    assert endpoint.password == PASSWORD


@pytest.mark.parametrize("url", ADDRESSES)
def test_broker_url_reaches_the_same_server_through_kombu(url: str) -> None:
    """kombu reads URLs in its own way: a wrong one loses the password, or the TLS checks."""
    endpoint = Endpoint.parse(url)

    channel_class = Connection(endpoint.broker_url()).transport.Channel
    with Connection(endpoint.broker_url()) as connection:
        channel = channel_class.__new__(channel_class)
        channel.connection = type("Transport", (), {"client": connection, "default_port": 6379})()
        parameters = channel._connparams()

    assert (parameters["password"], parameters["db"]) == (PASSWORD, endpoint.database)
    if endpoint.scheme == "redis+socket":
        assert parameters["path"] == endpoint.path
    else:
        assert (parameters["host"], parameters["port"]) == (endpoint.host, endpoint.port)
    if endpoint.scheme == "rediss":
        assert parameters["ssl_cert_reqs"].name == "CERT_REQUIRED"
        assert parameters["ssl_check_hostname"] is True
        assert parameters["ssl_ca_certs"] == "/etc/my ca.pem"


@pytest.mark.parametrize("url", ADDRESSES)
def test_endpoint_travels_whole(url: str) -> None:
    """Nodes get their endpoint by pipe, and must reach the same server in the same way."""
    endpoint = Endpoint.parse(url)

    assert Endpoint.from_json(endpoint.to_json()) == endpoint
    assert "\n" not in endpoint.to_json()
    assert json.loads(endpoint.to_json())["password"] == PASSWORD
    assert pickle.loads(pickle.dumps(endpoint)) == endpoint


def test_password_file_beside_the_socket_is_used(tmp_path: Path) -> None:
    """The URL of an embedded cluster can be passed on without a secret in it."""
    write(tmp_path / PASSWORD_FILE, "from the file\n")

    endpoint = Endpoint.parse(f"redis+socket://{tmp_path}/server.sock")

    assert endpoint.password == "from the file"
    assert endpoint.folder == tmp_path
    assert "from" not in repr(endpoint)


def test_password_in_the_url_is_preferred(tmp_path: Path) -> None:
    """What somebody wrote down wins over what lies about."""
    write(tmp_path / PASSWORD_FILE, "from the file")

    endpoint = Endpoint.parse(f"redis+socket://:mine@{tmp_path}/server.sock")

    assert endpoint.password == "mine"


def test_missing_password_file_is_no_password(tmp_path: Path) -> None:
    """A server of one's own may have none."""
    assert Endpoint.parse(f"redis+socket://{tmp_path}/server.sock").password is None
    assert Endpoint.parse("redis+socket:///no/such/folder/server.sock").password is None


def test_password_file_for_everybody_is_refused(tmp_path: Path) -> None:
    """Whoever can read the password can run code on the cluster's nodes."""
    write(tmp_path / PASSWORD_FILE, "known to all", mode=0o644)

    with pytest.raises(SecretError, match=r"chmod 600 .*server\.password"):
        Endpoint.parse(f"redis+socket://{tmp_path}/server.sock")


def test_tcp_has_no_folder() -> None:
    """Secrets are looked for beside sockets only."""
    assert Endpoint.parse("redis://localhost").folder is None


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)
