"""The server's own permissions: enough for each role, and nothing beyond its work.

That they are enough is proved by `tests/cluster`, whose callers and nodes log in with them.
"""

import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from bad_inputs.conftest import start_server
from bad_inputs.servers import Server
from distexec.errors import ClusterRefused
from distexec.settings import Settings
from distexec.store import keys
from distexec.store.acl import rules
from distexec.store.endpoint import Endpoint
from distexec.store.link import Link
from distexec.store.port import ExecutorRef

PASSWORDS = {role: f"the-password-of-{role}" for role in ("caller", "node", "operator")}
REF = ExecutorRef("0123456789abcdef", "1")

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has read the rules from a file, as it does when it starts."""
    folder = tmp_path_factory.mktemp("acl")
    admin = "user default on nopass ~* &* +@all"
    path = folder / "users.acl"
    path.write_text("\n".join([admin, *rules(["distexec"], PASSWORDS)]) + "\n")
    with start_server(folder, "--requirepass", "", "--aclfile", str(path)) as server:
        yield server


@pytest.fixture
def run(server: Server, request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run a command as the role that the test names."""
    links: list[Link] = []

    def run(role: str, *command: Any) -> Any:
        url = f"redis://distexec-{role}:{PASSWORDS[role]}@127.0.0.1:{server.port}"
        links.append(Link(Endpoint.parse(url), Settings()))
        return links[-1].run(command)[0]

    yield run
    for link in links:
        link.close()


#: What nobody of us needs, and what would harm the server, or others who use it.
FORBIDDEN_TO_ALL = [
    "FLUSHALL", "FLUSHDB", "CONFIG GET dir", "CONFIG SET dir /tmp", "KEYS *", "SAVE", "BGSAVE",
    "SHUTDOWN NOSAVE", "REPLICAOF 127.0.0.1 1", "MODULE LIST", "ACL LIST", "ACL SETUSER x on",
    "CLIENT LIST", "CLIENT KILL ID 1", "CLIENT PAUSE 1", "MONITOR", "SWAPDB 0 1",
    "FUNCTION LIST", "MIGRATE 127.0.0.1 1 x 0 1", "SLOWLOG GET", "RENAME dx:a dx:b", "SORT dx:a",
    "SCRIPT FLUSH", "RANDOMKEY", "DUMP dx:a", "RESTORE dx:a 0 x", "PUBLISH celery x",
    "SUBSCRIBE celery", "EVAL return 0", "GET theirs", "SET theirs 1", "DEL theirs",
]  # fmt: skip
FORBIDDEN = [
    *((role, line) for role in PASSWORDS for line in FORBIDDEN_TO_ALL),
    # A caller is no node: it neither speaks for one nor listens to its orders.
    ("caller", f"HSET {keys.node_record('n@h')} frame x"),
    ("caller", f"DEL {keys.NODE_NAMES}"),
    ("caller", f"XREAD STREAMS {keys.node_commands('n@h')} 0"),
    ("caller", f"HGETALL {keys.node_leases('n@h')}"),
    ("caller", "BRPOP distexec 1"),
    ("caller", "SCAN 0"),
    ("caller", "LPUSH another-queue x"),
    ("node", "SCAN 0"),
    ("node", "LPUSH another-queue x"),
    # An operator looks, and changes nothing.
    ("operator", f"SET {keys.session('0123456789abcdef')} 1"),
    ("operator", f"XADD {keys.node_commands('n@h')} * f x"),
    ("operator", "LPUSH distexec x"),
    ("operator", f"HSET {keys.demand('distexec')} a b"),
]


@pytest.mark.parametrize("role", PASSWORDS)
def test_what_is_forbidden_is_refused(run: Run, role: str) -> None:
    """Whoever steals a role's password can do no more than the role: the server sees to it."""
    allowed = []
    for line in [line for each, line in FORBIDDEN if each == role]:
        try:
            allowed.append((line, run(role, *line.split())))
        except ClusterRefused as error:
            if "permission" not in str(error).lower():
                allowed.append((line, error))

    assert allowed == []


def test_each_role_may_do_its_work(run: Run) -> None:
    """One command for each kind of key; the whole way of a call is `tests/cluster`'s."""
    session = keys.session(REF.session)

    assert run("caller", "SET", session, "1") == b"OK"
    assert run("caller", "XADD", keys.node_commands("n@h"), "*", "f", "x")
    assert run("caller", "LPUSH", "distexec", "x") == 1
    assert run("node", "BRPOP", "distexec", "distexec\x06\x163", 1)
    assert run("node", "HSET", keys.node_record("n@h"), "frame", "x") == 1
    assert run("operator", "HGETALL", keys.node_record("n@h")) == [b"frame", b"x"]
    assert run("operator", "SCAN", "0")


#: Commands of which a part is granted; and capital words that are none.
CONTAINERS = {"XGROUP", "XINFO", "SCRIPT"}
NO_COMMANDS = {"block", "streams", "oom"}


def test_every_command_of_ours_is_granted() -> None:
    """A script runs with its user's permissions: one that is missing shows only when it runs."""
    granted = " ".join(rules(["distexec"], PASSWORDS)) + " "
    folder = resources.files("distexec.store").joinpath("lua")
    texts = [item.read_text() for item in folder.iterdir() if item.name.endswith(".lua")]
    used = {
        "|".join(filter(None, match)).lower()
        for text in texts
        for match in re.findall(r"redis\.p?call\('([A-Z]+)'(?:, '([A-Z]+)')?", text)
    }

    # And of our own commands, as they stand in the modules.
    modules = resources.files("distexec.store").iterdir()
    for item in [each for each in modules if each.name.endswith(".py")]:
        for match in re.findall(r"""\(\s*"([A-Z]{3,})"(?:, "([A-Z]{4,})")?""", item.read_text()):
            used.add("|".join(match if match[0] in CONTAINERS else match[:1]).lower())
    used -= NO_COMMANDS
    assert "xgroup|delconsumer" in used and "xreadgroup" in used
    assert [name for name in sorted(used) if f"+{name} " not in granted] == []


def test_the_rules_hold_no_password(tmp_path: Path) -> None:
    """The file lies on the server, and in backups of it."""
    text = "\n".join(rules(["distexec"], PASSWORDS))

    assert not any(password in text for password in PASSWORDS.values())
