"""The two implementations of the store, behind the same three doors."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from conftest import eventually
from distexec.engine.server import SOCKET_FILE, find_server, greet, launch_server, make_folder
from distexec.settings import Settings
from distexec.store.caller_port import CallerStore
from distexec.store.connect import open_caller_store, open_lease_store, open_node_store
from distexec.store.endpoint import Endpoint
from distexec.store.lease_port import Bid, LeaseStore, Parcel
from distexec.store.link import Link
from distexec.store.memory import MemoryServer
from distexec.store.memory_caller import MemoryCallerStore
from distexec.store.memory_lease import MemoryLeaseStore
from distexec.store.port import ExecutorRef, Held, NodeStore

SETTINGS = Settings()

#: The name of the one node of these tests.
NODE = "node@here"

QUEUE = "reports"


class World(Protocol):
    """A server, and ways to be its caller, one of its slots, or its operator."""

    def caller(self, session: str) -> CallerStore: ...

    def slot(self) -> LeaseStore: ...

    def empty(self) -> None:
        """Lose all data, as a restarted server without persistence does."""
        ...

    def expire(self, session: str) -> None:
        """Let the session's time run out, and leave its other data."""
        ...


class MemoryWorld:
    """The twin."""

    name = "memory"

    def __init__(self) -> None:
        self.server = MemoryServer()

    def caller(self, session: str) -> CallerStore:
        return MemoryCallerStore(self.server, session)

    def slot(self) -> LeaseStore:
        return MemoryLeaseStore(self.server, NODE, os.getpid())

    def empty(self) -> None:
        with self.server.changed:
            self.server.sessions.clear()
            self.server.demands.clear()
            self.server.changed.notify_all()

    def expire(self, session: str) -> None:
        with self.server.changed:
            del self.server.sessions[session]
            self.server.changed.notify_all()


class RedisWorld:
    """A real server on a socket. Closes what it opened."""

    name = "redis"

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._opened: list[Any] = []
        self._operator = Link(endpoint, SETTINGS)

    def caller(self, session: str) -> CallerStore:
        return self._keep(open_caller_store(self.endpoint, session, SETTINGS))

    def slot(self) -> LeaseStore:
        self.node().beat(NODE, b"node", 60)
        return self._keep(open_lease_store(self.endpoint, NODE, SETTINGS))

    def node(self) -> NodeStore:
        return self._keep(open_node_store(self.endpoint, SETTINGS))

    def _keep(self, store: Any) -> Any:
        self._opened.append(store)
        return store

    def command(self, *words: Any) -> Any:
        """Run one command as the server's operator."""
        return self._operator.call(*words)

    def empty(self) -> None:
        self.command("FLUSHALL")

    def expire(self, session: str) -> None:
        self.command("DEL", f"dx:{{{session}}}:session")

    def lifetimes(self) -> dict[str, float]:
        """Every key, with the seconds that it has left (infinite if it stays)."""
        names = [name.decode() for name in self.command("KEYS", "*")]
        times = {name: self.command("PTTL", name) for name in names}
        return {name: left / 1000 if left >= 0 else float("inf") for name, left in times.items()}

    def close(self) -> None:
        for store in self._opened:
            store.close()
        self._operator.close()


@contextlib.contextmanager
def private_server() -> Iterator[Endpoint]:
    """Run a server on a socket until the end of the block."""
    folder, password = make_folder(), secrets.token_hex(8)
    with launch_server(find_server(), folder, password) as process:
        try:
            eventually(lambda: greet(folder, password, timeout=5))
            yield Endpoint.parse(f"redis+socket://{folder / SOCKET_FILE}")
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder)


def cut(store: Any) -> None:
    """Break every connection of *store*, as a firewall does: neither side is told."""
    for link in [each for each in vars(store).values() if isinstance(each, Link)]:
        connection = link._connection
        if connection._sock is not None:
            connection._sock.close()


class Ring:
    """One caller with one executor in a world, and leases for it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ref = ExecutorRef(secrets.token_hex(4), "1")
        self.caller = world.caller(self.ref.session)
        self.caller.open()
        self.caller.put_spec(self.ref, b"spec")

    def put(self, *numbers: int, queue: str = QUEUE) -> int:
        return self.caller.put(self.ref, queue, entries(*numbers))

    def lease(self, name: str, *, limit: int = 100, wanted: int = 100) -> LeaseStore:
        """A slot that was admitted."""
        slot = self.world.slot()
        assert slot.admit(Bid(self.ref, QUEUE, name, limit=limit, wanted=wanted))
        return slot

    def lease_names(self) -> set[str]:
        return {lease.lease for lease in self.caller.leases(self.ref)}

    def collect(self) -> list[bytes]:
        return self.caller.collect(0.01)

    def collect_all(self) -> list[bytes]:
        """All replies so far: a look that was sent ahead finds the first of them only."""
        found: list[bytes] = []
        while frames := self.collect():
            found += frames
        return found


def entries(*numbers: int) -> list[Held]:
    return [Held(number, b"frame %d" % number) for number in numbers]


def take(slot: LeaseStore, count: int = 100) -> list[int] | None:
    """The numbers of what *slot* takes."""
    taken = slot.take(count, 0.01)
    return None if taken is None else [held.entry for held in taken]


def exchange(
    slot: LeaseStore,
    frame: bytes | None,
    finished: Sequence[int],
    count: int,
    timeout: float = 0.0,
) -> list[int] | None:
    """The numbers of what *slot* takes with its reply, or then, within *timeout* seconds."""
    taken = slot.exchange(Parcel(frame, finished), count, timeout)
    if timeout and taken is not None and not taken:
        taken = slot.take(count, timeout)
    return None if taken is None else [held.entry for held in taken]
