"""What some contenders need beside themselves: a server of their own, and worker processes."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from distexec.engine.server import find_server

#: Where the workers of the task queues find the server.
SOCKET_VARIABLE = "BENCH_SOCKET"

_START_SECONDS = 10.0
_END_SECONDS = 10.0


@contextmanager
def private_server(*arguments: str) -> Iterator[Path]:
    """Run a server, the program that distexec starts as well; yields its Unix socket."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        socket = Path(folder, "server.sock")
        settings = ["--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "600"]
        settings += ["--save", "", "--appendonly", "no", "--dir", folder, *arguments]
        with running([str(find_server().path), *settings]) as process:
            wait_for_socket(socket, process)
            yield socket


def wait_for_socket(socket: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a program listens."""
    deadline = time.monotonic() + _START_SECONDS
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start")
        time.sleep(0.01)


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program, and end it with the block."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def python_module(*arguments: str, socket: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``python -m`` *arguments* where the modules of this folder can be imported."""
    here = str(Path(__file__).parent)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    environment = {"PYTHONPATH": path, SOCKET_VARIABLE: str(socket)}
    with running([sys.executable, "-m", *arguments], environment) as process:
        yield process
