"""Fixtures of the bad inputs: those of the properties, and servers that are not what they seem."""

import contextlib
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import eventually
from distexec.engine.server import find_server
from properties.conftest import gate, ledger, pool

from .servers import Server

__all__ = ["gate", "ledger", "pool"]


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of the caller's own, so that what fails is something else."""
    monkeypatch.setenv("DISTEXEC_SECRET", secrets.token_urlsafe(32))


@pytest.fixture
def fake_server() -> Iterator[Callable[[Callable[[bytes], bytes]], int]]:
    """Make servers on loopback ports that answer what a function says; an empty answer hangs up."""
    with contextlib.ExitStack() as ending:

        def start(answer: Callable[[bytes], bytes]) -> int:
            listener = ending.enter_context(socket.create_server(("127.0.0.1", 0)))
            stop = threading.Event()
            thread = threading.Thread(target=_serve, args=(listener, answer, stop))
            thread.start()
            ending.callback(thread.join, timeout=10)
            ending.callback(stop.set)
            return int(listener.getsockname()[1])

        yield start


def _serve(
    listener: socket.socket, answer: Callable[[bytes], bytes], stop: threading.Event
) -> None:
    listener.settimeout(0.02)
    connections: list[socket.socket] = []
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            connection.settimeout(0.02)
            connections.append(connection)
        for connection in list(connections):
            try:
                asked = connection.recv(65536)
                reply = answer(asked) if asked else b""
            except TimeoutError:
                continue
            except OSError:
                reply = b""
            if reply:
                connection.sendall(reply)
            else:
                connection.close()
                connections.remove(connection)
    for connection in connections:
        connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server on a loopback port, with a password, that no node serves."""
    with start_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@contextlib.contextmanager
def start_server(folder: Path, *options: str) -> Iterator[Server]:
    """Run a server until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    password = secrets.token_hex(8)
    command = [
        *(str(find_server().path), "--bind", "127.0.0.1", "--port", str(port)),
        *("--requirepass", password, "--save", "", "--dir", str(folder), *options),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        try:
            server = Server(port, password)
            eventually(server.answers)
            yield server
        finally:
            process.terminate()


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Server]:
    """A server that follows another, which is gone: it refuses to be written to."""
    with start_server(tmp_path, "--replicaof", "127.0.0.1 1") as server:
        yield server
