"""A server that can be killed, restarted, filled up and stopped, and nodes that serve it."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import distexec
from bad_inputs.servers import Server
from cluster.rig import RealCluster
from conftest import eventually
from distexec.engine.server import find_server
from distexec.settings import Settings
from distexec.store.endpoint import Endpoint
from distexec.store.link import Link


class FragileServer(Server):
    """A server on a loopback port that comes back there."""

    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def make(cls, folder: Path, port: int = 0) -> "FragileServer":
        """Start one, at any port."""
        with socket.create_server(("127.0.0.1", port)) as free:
            server = cls(free.getsockname()[1], secrets.token_hex(8))
        server.folder = folder
        return server

    def start(self, *options: str) -> None:
        """Start it, with what it finds in its folder."""
        command = [
            *(str(find_server().path), "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--requirepass", self.password, "--save", "", "--dir", str(self.folder)),
            *("--enable-debug-command", "yes", *options),
        ]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        eventually(self.answers)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait()

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Let it answer nobody, and lose nothing, until the end of the block."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def operator(self) -> Iterator[Link]:
        """A connection for its operator."""
        link = Link(Endpoint.parse(self.url), Settings())
        try:
            yield link
        finally:
            link.close()


@contextlib.contextmanager
def executor(
    cluster: RealCluster, workers: int, **options: object
) -> Iterator[distexec.DistributedExecutor]:
    """A process pool on the cluster; a test that failed does not wait for its calls."""
    made = distexec.ProcessPoolExecutor(workers, cluster=cluster.server.url, **options)
    try:
        yield made
    except BaseException:
        made.shutdown(wait=False, cancel_futures=True)
        raise
    made.shutdown()


@contextlib.contextmanager
def fragile_cluster(folder: Path, *options: str) -> Iterator[RealCluster]:
    """A cluster on a server that may be broken; all of it is gone afterwards."""
    server = FragileServer.make(folder)
    server.start(*options)
    cluster = RealCluster(server, folder)
    try:
        yield cluster
    finally:
        cluster.close()
        server.kill()
