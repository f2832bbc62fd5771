"""The verbs that callers, leases and nodes ask of a cluster's store.

Two implementations: `distexec.store.redis_*` (Redis or Valkey) and `distexec.store.memory*` (one
process). One test suite runs on both. Frames are opaque, signed bytes: no store looks inside.

Callers' verbs are in ``caller_port``, leases' in ``lease_port``; here are nodes' and a few small
ones, and what all of them speak of.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from distexec.errors import ClusterError
from distexec.scheduling.permits import Permits
from distexec.scheduling.rate_limits import Grants

Frame = bytes

#: Seconds that a cluster's history is kept after the last session that learned something; and
#: records in it at most, of some 200 bytes each.
HISTORY_SECONDS: Final = 7 * 86400
MOST_HISTORY: Final = 1024


class SessionUnknown(Exception):
    """The server has no record of this session, or an old one: it was emptied, or set back."""

    def __str__(self) -> str:
        return "it does not know this session any more"


class KeyDamaged(ClusterError):
    """A key holds what none of us put there: it has another type, or takes no more entries."""


class ExecutorRef(NamedTuple):
    """Names one executor of one session, everywhere in the cluster."""

    session: str
    executor: str


class LeaseRecord(NamedTuple):
    """A lease as its executor's callers see it."""

    lease: str
    node: str
    pid: int
    threads: int
    queue: str
    #: The server's clock at admission, in seconds.
    admitted_at: float


class NodeStatus(NamedTuple):
    """A node that beats."""

    name: str
    #: The server's clock at the last beat, in seconds.
    beat_at: float
    #: Empty if the record cannot be read.
    frame: Frame


class NodeLease(NamedTuple):
    """A lease in a node's own books."""

    lease: str
    pid: int
    ref: ExecutorRef


class Held(NamedTuple):
    """A stream entry in the hands of a lease."""

    entry: int
    frame: Frame


class LetterEntry(NamedTuple):
    """A dead letter, without its call."""

    letter: str
    #: The server's clock when it was kept, in seconds.
    kept_at: float
    note: Frame


class LetterStore(Protocol):
    """The dead letters of a cluster: bounded in age, number and size; the oldest go first.

    Thread-safe. Every verb raises `distexec.errors.ClusterUnavailable` when the server does not
    answer, and may then be called again.
    """

    def keep(self, letter: str, note: Frame, call: Frame) -> None:
        """Keep a letter; one that is known is replaced, and counts as new."""
        ...

    def letters(self) -> list[LetterEntry]:
        """The letters that have not expired, the oldest first."""
        ...

    def call(self, letter: str) -> Frame | None:
        """The letter's call; ``None`` if it is not there any more."""
        ...

    def drop(self, letters: Sequence[str]) -> int:
        """Remove *letters*; return how many were there."""
        ...


class LimitStore(Protocol):
    """The limits that all callers of a cluster share, by the server's clock in microseconds.

    Thread-safe. Every verb raises `distexec.errors.ClusterUnavailable` when the server does not
    answer, and may then be called again: at worst instants are lost that nobody uses.
    """

    def grant(
        self, key: str, *, interval: int, asked: int, unused: tuple[int, int] = (0, 0)
    ) -> Grants:
        """Give the next instants of a rate limit: see `distexec.scheduling.rate_limits.grant`."""
        ...

    def share_out(
        self, key: str, ref: ExecutorRef, *, limit: int, held: int, wanted: int
    ) -> Permits:
        """Take permits, and say how many are held: see `distexec.scheduling.permits.share_out`."""
        ...

    def nudge(self, sessions: Iterable[str]) -> None:
        """Make a `collect` of each of these sessions return soon: something may be theirs now."""
        ...


class Memory(NamedTuple):
    """A record of a cluster's history."""

    name: str
    #: The server's clock when it was written, in seconds.
    at: float
    frame: Frame


class HistoryStore(Protocol):
    """What callers learned, for those that come after them. Thread-safe."""

    def read(self) -> list[Memory]:
        """Return all that is known, and what only looks like it."""
        ...

    def write(self, records: Iterable[tuple[str, Frame]]) -> None:
        """Remember *records*, each with its name; the oldest go where there are too many."""
        ...


class NodeStore(Protocol):
    """The node's main process. Used by one thread."""

    def beat(self, name: str, frame: Frame, expiry: float) -> float:
        """Say that the node lives, for *expiry* seconds; return the server's clock.

        Raises:
            KeyDamaged: A key of the node was none of ours. It is removed: beat again.
        """
        ...

    def leases_of(self, name: str, pid: int) -> list[tuple[ExecutorRef, str]]:
        """The leases that the child *pid* registered when it was admitted."""
        ...

    def holders(self, name: str) -> set[int]:
        """The processes that have leases registered under this name."""
        ...

    def report(self, ref: ExecutorRef, frame: Frame) -> None:
        """Put *frame* on the session's reply stream, if the session lives.

        Raises:
            KeyDamaged: The stream is none: its caller finds that as well, and helps itself.
        """
        ...

    def count(self, source: str, serial: int, counts: Mapping[str, int]) -> None:
        """Add *counts* to the cluster's totals, unless *source* did so with this *serial*."""
        ...

    def forget(self, name: str, pid: int) -> None:
        """Drop the registrations of a child that ended."""
        ...

    def commands(self, name: str, timeout: float) -> list[Frame]:
        """Return commands for the node, each once, after at most *timeout* seconds."""
        ...

    def leave(self, name: str) -> None:
        """Remove the node's record."""
        ...

    def close(self) -> None: ...
