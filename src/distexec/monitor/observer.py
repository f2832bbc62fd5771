"""Reads a cluster's records from its server, and orders nodes about."""

import contextlib
import json
import os
from collections import Counter

from distexec.errors import ClusterError, SecretError
from distexec.monitor.report import ClusterReport, read_demand, read_node, summarise_queues
from distexec.settings import Settings
from distexec.store.connect import open_caller_store
from distexec.store.endpoint import Endpoint
from distexec.store.port import ExecutorRef
from distexec.store.redis_monitor import RedisMonitorStore
from distexec.wire import places, secret
from distexec.wire.seal import Direction, Seal


class Observer:
    """A look at the cluster at *url*, by whoever may reach its server.

    With the cluster's secret all of it is read; without, nodes show only what is public.

    Raises:
        ValueError: The URL cannot mean a server.
        SecretError: A secret is there and cannot be used.
    """

    def __init__(self, url: str, settings: Settings | None = None) -> None:
        settings = settings or Settings.from_environment()
        self._endpoint = Endpoint.parse(url)
        secrets = secret.load(beside=self._endpoint.folder)
        self._seal = Seal(*secrets) if secrets else None
        self._looks = RedisMonitorStore(self._endpoint, settings)
        # Nodes are read, and ordered about, as callers do it.
        self._store = open_caller_store(self._endpoint, f"look-{os.urandom(4).hex()}", settings)

    def look(self) -> ClusterReport:
        """Return the cluster as it is now.

        Raises:
            ClusterError: The server does not answer, or refuses.
        """
        looks = self._looks
        figures, now = looks.server(), looks.now()
        leases = {status.name: looks.node_leases(status.name) for status in self._store.nodes()}
        held: Counter[ExecutorRef] = Counter(
            lease.ref for found in leases.values() for lease in found
        )
        nodes = [
            read_node(status, now, [lease.pid for lease in leases[status.name]], self._seal)
            for status in sorted(self._store.nodes())
            if status.name in leases
        ]
        found = (
            read_demand(queue, ref, frame, held[ref], self._seal)
            for queue in looks.queues()
            for ref, frame in looks.demands(queue)
        )
        executors = sorted(
            (executor for executor in found if executor is not None),
            key=lambda executor: (executor.queue, executor.session, executor.executor),
        )
        kind = "Valkey" if "valkey_version" in figures else "Redis"
        version = figures.get("valkey_version") or figures.get("redis_version", "?")
        return ClusterReport(
            server=f"{self._endpoint.display} ({kind} {version})",
            memory_used=int(figures.get("used_memory", 0)),
            memory_limit=int(figures.get("maxmemory", 0)),
            clients=int(figures.get("connected_clients", 0)),
            commands_per_second=int(figures.get("instantaneous_ops_per_sec", 0)),
            nodes=tuple(nodes),
            queues=summarise_queues(nodes, executors),
            executors=tuple(executors),
        )

    def order(self, node: str, **command: object) -> None:
        """Send a signed command to a node.

        Raises:
            SecretError: There is no secret to sign it with.
        """
        if self._seal is None:
            raise SecretError(
                f"no secret for the cluster at {self._endpoint.display}: nodes obey only who has it"
            )
        body = json.dumps({**command, "at": self._looks.now()}).encode()
        self._store.command(node, self._seal.seal(Direction.CONTROL, places.command(node), body))

    def close(self) -> None:
        """Close the connections."""
        self._looks.close()
        with contextlib.suppress(ClusterError):  # Nothing of ours is there to remove.
            self._store.close()

    def __enter__(self) -> "Observer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
