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
from distexec.store.acl import rules
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
        command = [*cluster.launcher, sys.executable, "-m", "distexec", "worker"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--queues", queues, "--slots", str(slots), "--name", name, *options],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(PATHS),
                    "DISTEXEC_SECRET": cluster.secret_text,
                    # Not in the command line, which everybody on a machine can read.
                    "DISTEXEC_URL": cluster.node_url,
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
        """Whether it beats, with a child for each slot, or with threads."""
        assert self.process.poll() is None, self.log.read_text()
        record = self._cluster.records().get(self.name)
        if record is None:
            return False
        children = record["children"]
        return len(children) == record["slots"] or children == [record["pid"]]

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
    """A server on a port, a secret, and nodes.

    Args:
        queues: If there are any, callers and nodes get users of their own on the server, with the
            permissions for these queues that `distexec acl` prints.
    """

    def __init__(self, server: Server, folder: Path, queues: Sequence[str] = ()) -> None:
        self.server, self.folder = server, folder
        #: The server as callers know it, and as nodes do.
        self.url = self.node_url = server.url
        if queues:
            passwords = {role: f"password-of-{role}" for role in ("caller", "node", "operator")}
            for line in rules(queues, passwords):
                answer = server.command(f"ACL SETUSER {line.removeprefix('user ')}")
                assert answer.startswith("+OK"), answer
            address = f"127.0.0.1:{server.port}"
            self.url = f"redis://distexec-caller:{passwords['caller']}@{address}"
            self.node_url = f"redis://distexec-node:{passwords['node']}@{address}"
        self.secret = secret.generate()
        #: Secrets that nodes may sign with as well.
        self.older: tuple[bytes, ...] = ()
        self.secret_text = secret.to_text(self.secret)
        self.started: list[NodeProcess] = []
        #: Words before a node's command: what puts the node elsewhere.
        self.launcher: tuple[str, ...] = ()

    def start(self, name: str, queues: str, slots: int = 1, *options: str) -> NodeProcess:
        """Start a node; `NodeProcess.is_there` tells when it serves."""
        node = NodeProcess(self, name, queues, slots, options)
        self.started.append(node)
        return node

    def ready(self, *nodes: NodeProcess) -> None:
        """Wait until all *nodes* serve."""
        for node in nodes:
            eventually(node.is_there, 60)

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
                record = Seal(self.secret, *self.older).open(Direction.CONTROL, place, sealed)
                found[status.name.partition("@")[0]] = json.loads(bytes(record))
            return found
        finally:
            store.close()

    def close(self) -> None:
        """Kill what still runs."""
        for node in self.started:
            node.kill()
