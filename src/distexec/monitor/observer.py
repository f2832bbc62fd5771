"""Reads a cluster's records from its server, and orders nodes about."""

import contextlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from distexec.client.history import read_record
from distexec.client.nodes import read_node
from distexec.errors import FrameRejected, SecretError
from distexec.monitor.report import ClusterReport, read_demand, report_node, summarise_queues
from distexec.scheduling.run_times import RunTime
from distexec.settings import Settings
from distexec.store.endpoint import Endpoint
from distexec.store.port import ExecutorRef, KeyDamaged
from distexec.store.redis_monitor import RedisMonitorStore
from distexec.wire import places, secret
from distexec.wire.seal import Direction, Seal

#: Seconds that a caller has for an answer, and between two looks for it.
ANSWER_SECONDS = 3.0
LOOK_SECONDS = 0.05


T = TypeVar("T")


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
        known = secret.load(beside=self._endpoint.folder)
        self._seal = Seal(*known) if known else None
        self._looks = RedisMonitorStore(self._endpoint, settings)

    def look(self) -> ClusterReport:
        """Return the cluster as it is now.

        Raises:
            ClusterError: The server does not answer, or refuses.
        """
        looks, problems = self._looks, list[str]()

        def read(what: str, look: Callable[[], Sequence[T]]) -> Sequence[T]:
            """What *look* finds; nothing, and a line in the report, where others wrote over it."""
            try:
                return look()
            except KeyDamaged as error:
                problems.append(f"{what} cannot be read: {error}")
                return ()

        figures, now = looks.server(), looks.now()
        statuses = read("the list of nodes", looks.nodes)
        leases = {
            status.name: read(
                f"the leases of {status.name}", partial(looks.node_leases, status.name)
            )
            for status in statuses
        }
        held: Counter[ExecutorRef] = Counter(
            lease.ref for found in leases.values() for lease in found
        )
        nodes = [
            report_node(read_node(status, self._seal), status, now, leases[status.name])
            for status in sorted(statuses)
        ]
        found = (
            read_demand(queue, ref, frame, held[ref], self._seal)
            for queue in looks.queues()
            for ref, frame in read(f"the demand on {queue}", partial(looks.demands, queue))
        )
        executors = sorted(
            (executor for executor in found if executor is not None),
            key=lambda executor: (executor.queue, executor.session, executor.executor),
        )
        kind = "valkey" if "valkey_version" in figures else "redis"
        version = figures.get("valkey_version") or figures.get("redis_version", "?")
        return ClusterReport(
            server=f"{self._endpoint.display}: {kind} {version}",
            memory_used=int(figures.get("used_memory", 0)),
            memory_limit=int(figures.get("maxmemory", 0)),
            clients=int(figures.get("connected_clients", 0)),
            commands_per_second=int(figures.get("instantaneous_ops_per_sec", 0)),
            nodes=tuple(nodes),
            queues=summarise_queues(nodes, executors),
            executors=tuple(executors),
            problems=tuple(problems),
        )

    def totals(self) -> dict[str, int]:
        """What happened to all calls of the cluster: see `distexec.store.totals`.

        Raises:
            ClusterError: The server does not answer, or refuses.
        """
        return self._looks.totals()

    def order(self, node: str, **command: object) -> None:
        """Send a signed command to a node.

        Raises:
            SecretError: There is no secret to sign it with.
        """
        self._looks.command(node, self._sign(places.command(node), command))

    def purge(self, queue: str, sessions: Iterable[str]) -> None:
        """Tell callers to cancel what waits for *queue*, and for no other.

        Raises:
            SecretError: There is no secret to sign it with.
        """
        for session in sessions:
            frame = self._sign(places.notice(session), {"do": "purge", "queue": queue})
            self._looks.notify(session, frame)

    def history(self) -> dict[str, tuple[RunTime, str]]:
        """What callers learned of functions in queues, by record, each with the function's name."""
        if self._seal is None:
            return {}
        found = {}
        for memory in self._looks.history.read():
            with contextlib.suppress(FrameRejected, ValueError):  # Not ours.
                found[memory.name] = read_record(memory, self._seal)
        return found

    def explain(self, session: str, call: int) -> str | None:
        """Ask a caller where one of its calls went, and why; ``None`` if it does not tell.

        Raises:
            SecretError: There is no secret to sign the question with.
        """
        name = secrets.token_hex(8)
        order = {"do": "explain", "call": call, "answer": name}
        if not self._looks.notify(session, self._sign(places.notice(session), order)):
            return None
        assert self._seal is not None  # Or else there was nothing to sign with.
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            frame = self._looks.answer(session, name)
            if frame is not None:
                text = self._seal.open(Direction.CONTROL, places.answer(name), frame)
                return bytes(text).decode()
            time.sleep(LOOK_SECONDS)
        return None

    def _sign(self, place: bytes, order: Mapping[str, object]) -> bytes:
        if self._seal is None:
            raise SecretError(
                f"no secret for the cluster at {self._endpoint.display}: nodes and callers obey "
                "only who has it"
            )
        body = json.dumps({**order, "at": self._looks.now()}).encode()
        return self._seal.seal(Direction.CONTROL, place, body)

    def close(self) -> None:
        """Close the connection."""
        self._looks.close()

    def __enter__(self) -> "Observer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
