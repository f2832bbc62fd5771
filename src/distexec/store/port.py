"""The verbs that callers, leases and nodes ask of a cluster's store.

Two implementations: `distexec.store.redis_*` (Redis or Valkey) and `distexec.store.memory` (one
process). One test suite runs on both. Frames are opaque, signed bytes: no store looks inside.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from distexec.errors import ClusterError
from distexec.scheduling.permits import Permits
from distexec.scheduling.rate_limits import Grants

Frame = bytes

#: Seconds that a cluster's history is kept after the last session that learned something; and
#: records in it at most, of some 200 bytes each.
HISTORY_SECONDS: Final = 7 * 86400
MOST_HISTORY: Final = 1024

#: A place in a session's replies.
ReplyMark = tuple[int, int]


class SessionUnknown(Exception):
    """The server has no record of this session, or an old one: it was emptied, or set back."""

    def __str__(self) -> str:
        return "it does not know this session any more"


class KeyDamaged(ClusterError):
    """A key holds what none of us put there: it has another type, or takes no more entries."""


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


#: What becomes of a reserved entry that is not given back.
STARTS: Final = 0


class Held(NamedTuple):
    """A stream entry in the hands of a lease."""

    entry: int
    frame: Frame


class Asking(NamedTuple):
    """An executor that asks for slots of a queue, as one of them sees it."""

    ref: ExecutorRef
    #: Its demand.
    frame: Frame
    #: Leases that it has, over all queues.
    leases: int
    #: Entries of its call stream for the queue, taken or not.
    entries: int


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


class LeaseStore(Protocol):
    """One slot's side. `take` is called by one thread at a time; the rest is thread-safe."""

    @property
    def asking(self) -> int:
        """How many executors asked for the lease's queue, itself too, when there was last a look.

        `take`, `exchange` and `counts` look, from time to time.
        """
        ...

    def demands(self, queue: str, most: int) -> tuple[float, list[Asking]]:
        """Look at what living sessions ask of *queue*, and what only looks like it.

        Args:
            most: Look at so many executors, by chance if there are more.

        Returns:
            The server's clock in seconds, and what is asked.

        Raises:
            KeyDamaged: The key was none of ours, and is removed.
        """
        ...

    def withdraw(self, queue: str, ref: ExecutorRef) -> None:
        """Forget a demand whose session is gone or whose frame is foreign."""
        ...

    def admit(
        self,
        ref: ExecutorRef,
        queue: str,
        lease: str,
        *,
        limit: int,
        wanted: int,
        share: int | None = None,
    ) -> bool:
        """Become *lease* of the executor, with one thread.

        Refused (False) when the executor has *limit* threads or *wanted* leases already, when
        this node holds *share* leases or does not beat, or when the executor or its session is
        gone.
        """
        ...

    def claim(
        self,
        ref: ExecutorRef,
        queue: str,
        lease: str,
        *,
        limit: int,
        wanted: int,
        share: int | None = None,
    ) -> bool:
        """As `admit`, if the executor has calls that nobody took: for a slot that has a lease.

        That lease stays the one that all other verbs are about, until the slot turns.
        """
        ...

    def turn(self, ref: ExecutorRef, queue: str, lease: str) -> None:
        """Be *lease*, which was claimed."""
        ...

    def widen(self, threads: int, limit: int) -> int:
        """Ask for *threads* threads in this lease; return how many it may have now.

        The executor's leases never have more than *limit* together. One that has less than its
        equal share of them gets that at most: asked again, it may have more. Asking for fewer gives
        back.
        """
        ...

    def spec(self) -> Frame | None: ...

    def drop_spec(self) -> None:
        """Remove a spec that is foreign: its caller notices, and writes it again."""
        ...

    def function(self, function_id: bytes) -> Frame | None: ...

    @property
    def blob_folder(self) -> Path | None:
        """Where blobs are files, if callers on this machine share them."""
        ...

    def put_blob(self, name: bytes, index: int, frame: Frame) -> None:
        """Store one chunk of a result for the lease's session; it expires if nobody fetches it."""
        ...

    def blob(self, session: str, name: bytes, index: int) -> Frame | None:
        """One chunk of a session's blob."""
        ...

    def backlog(self) -> int:
        """How many entries of the lease's stream nobody has taken."""
        ...

    def take(self, count: int, timeout: float) -> list[Held] | None:
        """Take up to *count* entries; wait *timeout* seconds for the first.

        Returns:
            ``None`` when the lease was ended from outside: the executor closed, the session went
            away, or the lease was buried.
        """
        ...

    def reserve(self, most_threads: int) -> list[Held] | None:
        """Take the next entry while the lease's calls still run.

        Until this lease says in a `reply` what becomes of it, the others take nothing, so that
        entries start in their order. Nothing is taken if some lease has a reservation, if one may
        wait on the stream at this moment, or if more than *most_threads* serve the stream.

        Called by the thread that calls `take`.

        Returns:
            ``None`` if the lease was ended from outside.
        """
        ...

    def reply(
        self, frame: Frame | None, finished: Sequence[int], reserved: int | None = None
    ) -> bool:
        """Send *frame* and acknowledge the *finished* entries, all or nothing.

        False if the lease was ended from outside; nothing was sent then.

        Args:
            reserved: Ends the lease's reservation: `STARTS` if its entry does; the entry if it is
                given back, to be the next that any lease takes.
        """
        ...

    def exchange(
        self,
        frame: Frame | None,
        finished: Sequence[int],
        count: int,
        timeout: float = 0.0,
        reserved: int | None = None,
    ) -> list[Held] | None:
        """`reply`, and take up to *count* entries that are there, in one step.

        Called by the thread that calls `take`.

        Args:
            timeout: If nothing was taken `take` is called next, with this and *count*: that may
                have begun by then. 0 where that is not sure.

        Returns:
            ``None`` if the lease was ended from outside; nothing was sent or taken then.
        """
        ...

    def counts(self) -> bool:
        """Whether the lease was not ended from outside."""
        ...

    def leave(self, *, force: bool) -> bool:
        """End the lease. Unless *force*, refuse (False) while the stream has entries to take."""
        ...

    def close(self) -> None: ...


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
