"""The rig: a server that can be killed and frozen, nodes that can, and callers of the cluster."""

import contextlib
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import cluster.rig
import distexec
from bad_inputs.servers import Server
from cluster.rig import NodeProcess, RealCluster
from conftest import eventually
from distexec.engine.server import find_server
from distexec.settings import Settings
from distexec.store import keys
from distexec.store.endpoint import Endpoint
from distexec.store.link import Link

from .proxy import Proxy

#: What keeps a server's data through a kill: each command is written before it is answered, though
#: it reaches the disk later, which only a power cut would tell.
PERSISTENT = ("--appendonly", "yes", "--appendfsync", "everysec")

#: Shown of each node's log with a row that failed.
LOG_CHARACTERS = 20_000

#: Loaded by each interpreter that finds it: a node tells where it is when asked by a signal.
TELLS_ITS_STACKS = "import faulthandler, signal; faulthandler.register(signal.SIGUSR2)"


class FaultyServer:
    """A real server on a loopback port, for killing, freezing and restarting."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = Server(port, secrets.token_hex(8))
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with what it kept, and wait until it answers."""
        command = [
            *(str(find_server().path), "--bind", "127.0.0.1", "--port", str(self.address.port)),
            *("--requirepass", self.address.password, "--save", "", "--dir", str(self._folder)),
            *self._options,
        ]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            # Python ignores SIGXFSZ, and so must the server: see `fill_disk`.
            restore_signals=False,
        )
        eventually(self.address.answers, 20)

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def forget(self) -> None:
        """Kill it, and remove what it kept."""
        self.kill()
        shutil.rmtree(self._folder)
        self._folder.mkdir()

    def freeze(self) -> None:
        """Stop it: it accepts connections, and does not answer."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """Let none of its files grow, as on a full disk."""
        self._limit_files(1)

    def free_disk(self) -> None:
        """Let them grow again."""
        self._limit_files(resource.RLIM_INFINITY)

    def _limit_files(self, size: int) -> None:
        assert self.process is not None
        limits = size, resource.RLIM_INFINITY
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)


class Rig:
    """A server, nodes started by the command, and callers; any of them behind a proxy."""

    def __init__(self, folder: Path, *server_options: str) -> None:
        self.folder = folder
        self.server = FaultyServer(folder / "server", *server_options)
        self.server.start()
        self.cluster = RealCluster(self.server.address, folder)
        self.nodes: dict[str, NodeProcess] = {}

    @contextlib.contextmanager
    def proxy(self) -> Iterator[Proxy]:
        """A way to the server that can be disturbed, until the end of the block."""
        proxy = Proxy(self.server.address.port)
        try:
            yield proxy
        finally:
            proxy.close()

    def url(self, via: Proxy | None = None) -> str:
        """The cluster's URL, directly or by a proxy."""
        address = self.server.address
        return (address if via is None else address._replace(port=via.port)).url

    def start_nodes(
        self, *names: str, slots: int = 1, queue: str = "distexec", url: str | None = None
    ) -> None:
        """Start nodes, and wait until they serve; *url* is the cluster as they see it."""
        self.cluster.node_url = url or self.url()
        started = [self.cluster.start(name, queue, slots) for name in names]
        self.nodes.update(zip(names, started, strict=True))
        self.cluster.ready(*started)

    def end_nodes(self, *names: str) -> None:
        """Kill nodes that the next row is not to find."""
        for name in names:
            self.nodes.pop(name).kill()

    def ask(self, *command: Any) -> Any:
        """Run one command on the server, as its operator."""
        link = Link(Endpoint.parse(self.url()), Settings.from_environment())
        try:
            return link.call(*command)
        finally:
            link.close()

    def own_keys(self) -> list[str]:
        """Our keys, but for those that live with the nodes, or are to outlive their caller."""
        names = [name.decode() for name in self.ask("KEYS", "dx:*")]
        return [name for name in names if not name.startswith(keys.OUTLIVING)]

    @contextlib.contextmanager
    def processes(
        self, workers: int, *, via: Proxy | None = None, queue: str | None = None
    ) -> Iterator[distexec.Executor]:
        """An executor whose calls have a process each; a row that fails does not wait for it."""
        executor = distexec.ProcessPoolExecutor(workers, cluster=self.url(via), queue=queue)
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
        executor.shutdown()

    def main_pid(self, name: str) -> int:
        """The process of Celery on a node, below the supervisor; waits until there is one."""
        return int(eventually(lambda: self.cluster.records().get(name), 30)["pid"])

    def children(self, name: str) -> set[int]:
        """The processes of a node that run calls."""
        return set(eventually(lambda: self.cluster.records().get(name), 30)["children"])

    def freeze(self, name: str) -> None:
        """Stop all of a node, as a hypervisor does that moves its machine."""
        for process in whole(self.nodes[name]):
            process.suspend()

    def thaw(self, name: str) -> None:
        """Let it go on."""
        for process in reversed(whole(self.nodes[name])):
            process.resume()

    def logs(self) -> str:
        """The last words of each node of now, with the stacks of all its processes."""
        for node in self.nodes.values():
            size = node.log.stat().st_size
            for process in whole(node):
                process.send_signal(signal.SIGUSR2)
            with contextlib.suppress(AssertionError):
                eventually(lambda node=node, size=size: node.log.stat().st_size > size, 1)
        return "\n".join(
            f"--- {name}\n{node.log.read_text(errors='replace')[-LOG_CHARACTERS:]}"
            for name, node in self.nodes.items()
        )

    def close(self) -> None:
        """End everything that still runs."""
        for node in self.cluster.started:
            for process in whole(node):
                with contextlib.suppress(psutil.Error):
                    process.resume()
        self.cluster.close()
        self.server.kill()


@contextlib.contextmanager
def running_rig(folder: Path, *server_options: str, **settings: Any) -> Iterator[Rig]:
    """A rig of its own; *settings* are those of `distexec.settings.Settings`, for all sides."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(f"DISTEXEC_{name.upper()}", str(value))
        (folder / "sitecustomize.py").write_text(TELLS_ITS_STACKS)
        patch.setattr(cluster.rig, "PATHS", [*cluster.rig.PATHS, str(folder)])
        rig = Rig(folder, *server_options)
        patch.setenv("DISTEXEC_SECRET", rig.cluster.secret_text)
        try:
            yield rig
        finally:
            rig.close()


def whole(node: NodeProcess) -> list[psutil.Process]:
    """Every process of a node, the supervisor first."""
    try:
        supervisor = psutil.Process(node.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(pid: int) -> None:
    """End one process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
