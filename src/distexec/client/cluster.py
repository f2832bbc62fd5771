"""What a session asks of a cluster, whatever kind it is."""

from collections.abc import Callable, Hashable
from typing import Protocol

from distexec.settings import Settings
from distexec.store.caller_port import CallerStore
from distexec.store.port import ExecutorRef
from distexec.wire.records import Surroundings
from distexec.wire.seal import Seal


class Cluster(Protocol):
    """A server, its nodes, and the way to wake them."""

    #: Executors whose clusters have equal keys share one session.
    @property
    def key(self) -> Hashable: ...

    @property
    def seal(self) -> Seal: ...

    @property
    def settings(self) -> Settings: ...

    #: Where wake-ups are published, without a password; empty for the cluster's own server.
    @property
    def broker(self) -> str: ...

    #: Whether nodes of it beat in the store, and can be lost.
    @property
    def has_nodes(self) -> bool: ...

    #: Whether its server is on another machine, so that compressing may pay.
    @property
    def is_distant(self) -> bool: ...

    #: Whether this process is a worker of it, so that its sub-calls may have to run here.
    @property
    def is_home(self) -> bool: ...

    def open(self, session: str) -> CallerStore:
        """Start what must be started, and connect.

        Raises:
            ClusterError: It cannot be reached, refuses, or has no secret.
        """
        ...

    def wake(self, queue: str, count: int, *, again: bool = False) -> None:
        """Publish *count* wake-ups; does not wait for the broker.

        Args:
            again: Nobody answered the last ones: those that still wait at the broker will do.
        """
        ...

    def grow(self, slots: int) -> None:
        """Have at least so many slots, where the cluster is ours to grow; does not block."""
        ...

    def slots(self, *queues: str) -> int:
        """A guess at the slots that serve any of *queues*, for an executor without a limit."""
        ...

    def surroundings(self) -> Surroundings | None:
        """What its workers take over from this process; ``None`` where they keep their own."""
        ...

    def serve_here(
        self, ref: ExecutorRef, queue: str, limit: int, on_stuck: Callable[[], None]
    ) -> None:
        """Serve one executor from this thread until it has nothing to take.

        Args:
            on_stuck: Called when a call was given up that goes on: do not wait for this thread.
        """
        ...

    def advice(self, queue: str) -> str | None:
        """What a person can do when no node serves *queue*; ``None`` if one is about to."""
        ...

    def failure(self) -> str | None:
        """Why the cluster is beyond help, if it is."""
        ...

    def release(self) -> None:
        """The session that opened it is closed."""
        ...

    def __str__(self) -> str:
        """Names the cluster for people, without secrets."""
        ...
