"""The verbs that callers ask of a cluster's store: see `distexec.store.port`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from distexec.store.port import (
    ExecutorRef,
    Frame,
    Held,
    HistoryStore,
    LeaseRecord,
    LetterStore,
    LimitStore,
    NodeStatus,
)

#: A place in a session's replies.
ReplyMark = tuple[int, int]


class Damage(NamedTuple):
    """What an audit found of a session's keys, and removed."""

    #: One line for each key that others wrote to.
    keys: Sequence[str] = ()
    #: Executors that lost what was sent: they are to be made known, and sent to, anew.
    rebuild: frozenset["ExecutorRef"] = frozenset()
    #: Executors whose functions are gone.
    functions: frozenset["ExecutorRef"] = frozenset()
    #: Whether replies are gone, of any executor.
    lost_replies: bool = False


class CallerStore(Protocol):
    """One session's side. Thread-safe; `collect` has a connection of its own.

    Every verb raises `distexec.errors.ClusterUnavailable` when the server does not answer, and
    may then be called again: no write happens twice.
    """

    @property
    def letters(self) -> LetterStore:
        """The cluster's dead letters."""
        ...

    @property
    def limits(self) -> LimitStore:
        """The cluster's rate limits and permits."""
        ...

    @property
    def history(self) -> HistoryStore:
        """What earlier sessions learned."""
        ...

    def open(self) -> float:
        """Make the session known to the server, or known again; return its clock in seconds."""
        ...

    def put(
        self,
        ref: ExecutorRef,
        queue: str,
        entries: Sequence[Held],
        functions: Sequence[tuple[bytes, Frame]] = (),
        *,
        patience: float | None = None,
    ) -> int:
        """Append *entries* to the executor's call stream; store *functions* before them.

        Entry numbers rise; one that is not above the stream's last is dropped silently, since it
        was written before (a retry) or replayed.

        Args:
            patience: Seconds after which to give up on a slow server; ``None`` takes the settings'.

        Returns:
            How many leases the executor has now, over all queues.

        Raises:
            SessionUnknown: Nothing was written.
        """
        ...

    def recall(self, ref: ExecutorRef, queue: str, entries: Sequence[int]) -> list[int]:
        """Take back the *entries* that no lease holds; return those. The others stay."""
        ...

    def collect(self, timeout: float) -> list[Frame]:
        """Return the reply frames that arrived, each once, after at most *timeout* seconds."""
        ...

    def put_spec(self, ref: ExecutorRef, frame: Frame) -> None:
        """Store what leases of this executor must know before its first call."""
        ...

    def knows(self, ref: ExecutorRef) -> bool:
        """Whether the server still has what was written of the executor: its spec and streams."""
        ...

    @property
    def connections(self) -> int:
        """How often the connection was opened; what was answered over an older one may be lost."""
        ...

    def census(
        self, ref: ExecutorRef, queue: str, entries: Sequence[int]
    ) -> tuple[list[int], ReplyMark]:
        """Tell which of *entries*, which were put, the call stream does not have any more.

        Returns:
            Those, and the last reply so far: what is not answered by then is lost.
        """
        ...

    def has_collected(self, mark: ReplyMark) -> bool:
        """Whether every reply up to *mark* was collected, and `collect` was called again since."""
        ...

    def drop_functions(self, ref: ExecutorRef, function_ids: Sequence[bytes]) -> None: ...

    @property
    def blob_folder(self) -> Path | None:
        """Where blobs are files that this session's nodes see as well; ``None`` if nowhere."""
        ...

    def put_blob(self, name: bytes, index: int, frame: Frame) -> None:
        """Store one chunk of a blob of this session, until it is dropped; the first one first."""
        ...

    def blob(self, name: bytes, index: int) -> Frame | None:
        """One chunk of a blob of this session."""
        ...

    def drop_blobs(self, names: Sequence[bytes]) -> None: ...

    def ask(self, queue: str, ref: ExecutorRef, frame: Frame | None) -> None:
        """Record the executor's demand on *queue*; ``None`` withdraws it."""
        ...

    def leases(self, ref: ExecutorRef) -> list[LeaseRecord]: ...

    def bury(self, ref: ExecutorRef, lease: str) -> list[tuple[str, int]]:
        """End a lost lease: nothing it says is heard from now on.

        Returns:
            ``(queue, entry)`` of what it held, now removed from the streams.
        """
        ...

    def condemn(self, ref: ExecutorRef, queue: str, entry: int) -> LeaseRecord | None:
        """End the lease that holds *entry*: nothing it says is heard from now on.

        What it held stays until it is buried.

        Returns:
            The lease; ``None`` if none holds the entry.
        """
        ...

    def nodes(self) -> list[NodeStatus]:
        """Return the nodes that beat.

        Raises:
            KeyDamaged: Their list cannot be read now.
        """
        ...

    def server_memory(self) -> float:
        """The share of its memory that the server uses; 0 if it has no limit."""
        ...

    def answer(self, name: str, frame: Frame) -> None:
        """Tell an operator what was asked, under the *name* that the question came with."""
        ...

    def demands(self, queue: str) -> list[tuple[ExecutorRef, Frame]]:
        """What executors ask of *queue*, of this session and of others; also what looks like it."""
        ...

    def command(self, node: str, frame: Frame) -> None:
        """Hand *frame* to the node's commands."""
        ...

    def beat(self, refs: Sequence[ExecutorRef]) -> float:
        """Say that the session lives; return the server's clock in seconds.

        Raises:
            SessionUnknown: There are *refs*, and the server knows nothing of this session, or less
                than it did at the last beat.
        """
        ...

    def audit(self, refs: Sequence[ExecutorRef]) -> Damage:
        """Remove the session's keys that somebody else wrote over, with what depends on them."""
        ...

    def count(self, source: str, serial: int, counts: Mapping[str, int]) -> None:
        """Add *counts* to the cluster's totals, unless *source* did so with this *serial*."""
        ...

    def close_executor(self, ref: ExecutorRef) -> None:
        """Remove every key of the executor; its leases end."""
        ...

    def interrupt(self) -> None:
        """Make a `collect` that waits return soon."""
        ...

    def close(self) -> None:
        """Remove the session's keys and close the connections."""
        ...
