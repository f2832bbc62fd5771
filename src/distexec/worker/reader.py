"""A lease's reading side: how many entries it takes, and the calls that are in them."""

from collections.abc import Sequence

from distexec.errors import DistexecError, FrameRejected
from distexec.scheduling.batching import entries_to_take
from distexec.scheduling.run_times import RunTime
from distexec.store.lease_port import LeaseStore
from distexec.store.port import ExecutorRef, Held
from distexec.wire import places
from distexec.wire.codec import decode_calls
from distexec.wire.records import CallFlag, Envelope
from distexec.wire.refusals import Refusals
from distexec.wire.seal import Direction, Seal


class Reader:
    """Takes entries from one call stream. Used by one thread at a time."""

    def __init__(
        self,
        store: LeaseStore,
        seal: Seal,
        ref: ExecutorRef,
        queue: str,
        refusals: Refusals,
    ) -> None:
        self._store, self._seal, self._refusals = store, seal, refusals
        self._ref, self._queue = ref, queue
        self._calls_per_entry = 1.0
        #: Whether the last entry's calls were short, by their caller, so that several are taken.
        self.takes_many = False

    def entries_to_take(self, known: RunTime | None, free: int) -> int:
        """How many entries to take next.

        Args:
            known: What is known of the last calls.
            free: Threads that are free to start a call each.
        """
        return entries_to_take(known if self.takes_many else None, self._calls_per_entry, free)

    def read(self, held: Held) -> Sequence[Envelope]:
        """The calls of an entry, none if it is not to be trusted."""
        place = places.call(self._ref.session, self._ref.executor, self._queue, held.entry)
        try:
            calls = decode_calls(self._seal.open(Direction.CALL, place, held.frame))
        except DistexecError as error:
            self._refusals.note("An entry of a call stream", error)
            return ()
        self._calls_per_entry += 0.2 * (len(calls) - self._calls_per_entry)
        self.takes_many = all(call.flags & CallFlag.SHORT for call in calls)
        return calls

    def read_function(self, function_id: bytes) -> memoryview | None:
        """One of the executor's functions, pickled; ``None`` if its caller must send it again."""
        frame = self._store.function(function_id)
        if frame is None:
            return None
        place = places.function(self._ref.session, self._ref.executor, function_id)
        try:
            return self._seal.open(Direction.STORED, place, frame)
        except FrameRejected as error:
            self._refusals.note("A stored function", error)
            return None
