"""What the engine's tests share: a server of their own, and real nodes that they may break."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import distexec.engine
from conftest import eventually
from distexec.engine import server as servers
from distexec.engine.guard import Process
from distexec.engine.node_process import launch_node
from distexec.engine.wakeup import WakeUps
from distexec.settings import Settings
from distexec.store.connect import open_caller_store
from distexec.store.endpoint import Endpoint
from distexec.store.link import Link
from distexec.wire import places, secret
from distexec.wire.seal import Direction, Seal

SOURCE = str(Path(distexec.engine.__file__).parents[2])


class Server:
    """A server on a socket, with its secret beside it, and what a caller can do with it."""

    def __init__(self, folder: Path, process: Process) -> None:
        self.folder, self.process = folder, process
        self.secret = secret.write(folder / "secret.key")
        self.url = f"redis+socket://{folder}/server.sock"
        self.endpoint = Endpoint.parse(self.url)
        self.seal = Seal(self.secret)
        self.settings = Settings.from_environment()

    def ask(self, *command: Any) -> Any:
        """Send one command to the server."""
        link = Link(self.endpoint, self.settings)
        try:
            return link.call(*command)
        finally:
            link.close()

    def wake(self, queue: str = "distexec", count: int = 1) -> None:
        wake_ups = WakeUps(self.endpoint.broker_url(), self.seal, self.settings)
        wake_ups.send(queue, count)
        wake_ups.close()

    def order(
        self, node: str, *, seal: Seal | None = None, late: float = 0.0, **command: Any
    ) -> None:
        """Send a signed command to a node."""
        store = open_caller_store(self.endpoint, f"test-{os.urandom(4).hex()}", self.settings)
        try:
            body = json.dumps({**command, "at": store.beat([]) - late}).encode()
            seal = seal or self.seal
            store.command(node, seal.seal(Direction.CONTROL, places.command(node), body))
        finally:
            store.close()

    def record(self, node: str) -> dict[str, Any]:
        """What a node said in its last beat; empty if it does not beat."""
        store = open_caller_store(self.endpoint, f"test-{os.urandom(4).hex()}", self.settings)
        try:
            for status in store.nodes():
                if status.name == node:
                    sealed = status.frame.partition(b"\n")[2]
                    body = self.seal.open(Direction.CONTROL, places.node(node), sealed)
                    record: dict[str, Any] = json.loads(bytes(body))
                    return record
        finally:
            store.close()
        return {}


@contextmanager
def running_server() -> Iterator[Server]:
    """A server of its own, gone afterwards."""
    folder = servers.make_folder()
    process = servers.launch_server(servers.find_server(), folder, "s3cret")
    try:
        eventually(lambda: servers.greet(folder, "s3cret", timeout=5.0))
        yield Server(folder, process)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


class Node:
    """An embedded node, as `launch_node` starts it."""

    def __init__(self, server: Server, name: str, slots: int) -> None:
        self.server, self.name = server, name
        self.supervisor = launch_node(
            server.folder, server.endpoint, server.secret,
            name=name, queues=["distexec"], slots=slots,
        )  # fmt: skip
        try:
            eventually(lambda: len(self.children) == slots, 30)
        except AssertionError:
            self.end()
            raise

    @property
    def record(self) -> dict[str, Any]:
        return self.server.record(self.name)

    @property
    def pid(self) -> int:
        """The node's main process: Celery's; 0 while there is none."""
        return int(self.record.get("pid", 0))

    @property
    def children(self) -> list[int]:
        return list(self.record.get("children", ()))

    @property
    def log(self) -> str:
        return (self.server.folder / "node.log").read_text()

    def end(self) -> None:
        """Kill everything of it."""
        end_group(self.supervisor)


@contextmanager
def running_node(server: Server, slots: int = 2) -> Iterator[Node]:
    """A node of its own, gone afterwards."""
    node = Node(server, f"node-{os.urandom(3).hex()}@test", slots)
    try:
        yield node
    finally:
        node.end()


def end_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process that leads a group, and every process of that group and below it."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    for each in below:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            pass
    process.wait()


@contextmanager
def running_program(
    arguments: Sequence[str], cwd: Path, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """A Python program in a session of its own, with our package importable."""
    log = cwd / "program.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            # A killed Celery leaves a folder of billiard's: pytest removes it with its own.
            env={**os.environ, "PYTHONPATH": SOURCE, "TMPDIR": str(cwd), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end_group(process)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that ended and was not reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
