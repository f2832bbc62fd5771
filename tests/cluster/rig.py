"""Starts real nodes by the command, on a real server, and ends them in all the ways there are."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

import distexec
from bad_inputs.servers import Server
from conftest import eventually
from distexec.settings import Settings
from distexec.store.connect import open_caller_store
from distexec.store.endpoint import Endpoint
from distexec.wire import places, secret
from distexec.wire.seal import Direction, Seal

#: Where the package and the tests' own functions are found.
PATHS = [str(Path(distexec.__file__).parents[1]), str(Path(__file__).parents[1])]


class NodeProcess:
    """A node, started as its operator would: ``python -m distexec worker``."""

    def __init__(
        self, cluster: "RealCluster", name: str, queues: str, slots: int, options: Sequence[str]
    ) -> None:
        self.name, self._cluster = name, cluster
        self.log = cluster.folder / f"{name}-{len(cluster.started)}.log"
        command = [sys.executable, "-m", "distexec", "worker", "--cluster", cluster.server.url]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--queues", queues, "--slots", str(slots), "--name", name, *options],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(PATHS),
                    "DISTEXEC_SECRET": cluster.secret_text,
                    "NODE_OF_TEST": name,
                    # A node that is killed leaves its folder there.
                    "TMPDIR": str(cluster.folder),
                },
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_there(self) -> bool:
        """Whether it beats, with a child for each slot."""
        assert self.process.poll() is None, self.log.read_text()
        record = self._cluster.records().get(self.name)
        return record is not None and len(record["children"]) == record["slots"]

    def stop(self) -> None:
        """Ask it to drain."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does: supervisor, node and children at once."""
        try:
            whole = psutil.Process(self.process.pid)
            for process in [whole, *whole.children(recursive=True)]:
                process.kill()
        except psutil.NoSuchProcess:
            pass
        self.process.wait(10)


class RealCluster:
    """A server on a port, a secret, and nodes."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.secret = secret.generate()
        self.secret_text = secret.to_text(self.secret)
        self.started: list[NodeProcess] = []

    def start(self, name: str, queues: str, slots: int = 1, *options: str) -> NodeProcess:
        """Start a node; `NodeProcess.is_there` tells when it serves."""
        node = NodeProcess(self, name, queues, slots, options)
        self.started.append(node)
        return node

    def ready(self, *nodes: NodeProcess) -> None:
        """Wait until all *nodes* serve."""
        for node in nodes:
            eventually(node.is_there, 20)

    def records(self) -> dict[str, dict[str, Any]]:
        """What each node said in its last beat, by the name that it was started with."""
        store = open_caller_store(
            Endpoint.parse(self.server.url), "test", Settings.from_environment()
        )
        try:
            found = {}
            for status in store.nodes():
                sealed = status.frame.partition(b"\n")[2]
                place = places.node(status.name)
                record = Seal(self.secret).open(Direction.CONTROL, place, sealed)
                found[status.name.partition("@")[0]] = json.loads(bytes(record))
            return found
        finally:
            store.close()

    def close(self) -> None:
        """Kill what still runs."""
        for node in self.started:
            node.kill()
