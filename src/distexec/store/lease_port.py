"""The verbs that a lease asks of a cluster's store: see `distexec.store.port`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from distexec.store.port import ExecutorRef, Frame, Held

#: What becomes of a reserved entry that is not given back.
STARTS: Final = 0


class Parcel(NamedTuple):
    """What a lease tells in one step."""

    #: Sealed replies, if there are some.
    frame: Frame | None = None
    #: The entries that are finished.
    finished: Sequence[int] = ()
    #: Ends the lease's reservation: `STARTS` if its entry does; the entry if it is given back, to
    #: be the next that any lease takes.
    reserved: int | None = None


class Asking(NamedTuple):
    """An executor that asks for slots of a queue, as one of them sees it."""

    ref: ExecutorRef
    #: Its demand.
    frame: Frame
    #: Leases that it has, over all queues.
    leases: int
    #: Entries of its call stream for the queue, taken or not.
    entries: int


class Bid(NamedTuple):
    """What a slot asks to be: a lease of an executor, within bounds."""

    ref: ExecutorRef
    queue: str
    lease: str
    #: Threads that the executor may have, with this one, over all of its leases.
    limit: int
    #: Leases that the executor may have, with this one.
    wanted: int
    #: Leases that the node may hold, with this one; ``None`` for no limit.
    share: int | None = None


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

    def admit(self, bid: Bid) -> bool:
        """Become the lease that *bid* says, with one thread.

        Refused (False) when one of its bounds is reached, when this node does not beat, or when the
        executor or its session is gone.
        """
        ...

    def claim(self, bid: Bid) -> bool:
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

    def reply(self, parcel: Parcel) -> bool:
        """Send the parcel's frame and acknowledge what is finished, all or nothing.

        False if the lease was ended from outside; nothing was sent then.
        """
        ...

    def exchange(self, parcel: Parcel, count: int, timeout: float = 0.0) -> list[Held] | None:
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
