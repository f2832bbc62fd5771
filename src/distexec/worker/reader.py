"""A lease's reading side: how many entries it takes, and the calls that are in them."""

import logging
from collections.abc import Sequence

from distexec.errors import DistexecError
from distexec.scheduling.batching import entries_to_take
from distexec.scheduling.run_times import RunTime
from distexec.store.port import ExecutorRef, Held, LeaseStore
from distexec.wire import places
from distexec.wire.codec import decode_calls
from distexec.wire.records import CallFlag, Envelope
from distexec.wire.seal import Direction, Seal

logger = logging.getLogger(__name__)


class Reader:
    """Takes entries from one call stream. Used by one thread at a time."""

    def __init__(self, store: LeaseStore, seal: Seal, ref: ExecutorRef, queue: str) -> None:
        self._store, self._seal = store, seal
        self._ref, self._queue = ref, queue
        self._calls_per_entry = 1.0
        #: Whether the last entry's calls were short, by their caller, so that several are taken.
        self.takes_many = False

    def read(
        self, known: RunTime | None, free: int, timeout: float
    ) -> list[tuple[int, Sequence[Envelope]]] | None:
        """Take entries, after at most *timeout* seconds.

        Args:
            known: What is known of the last calls.
            free: Threads that are free to start a call each.

        Returns:
            Each entry with its calls, none if it is not to be trusted; ``None`` when the lease was
            ended from outside.
        """
        count = entries_to_take(known if self.takes_many else None, self._calls_per_entry, free)
        held = self._store.take(count, timeout)
        return None if held is None else [(entry.entry, self._calls_of(entry)) for entry in held]

    def _calls_of(self, held: Held) -> Sequence[Envelope]:
        place = places.call(self._ref.session, self._ref.executor, self._queue, held.entry)
        try:
            calls = decode_calls(self._seal.open(Direction.CALL, place, held.frame))
        except DistexecError as error:
            logger.warning("Entry %d of %s put aside: %s", held.entry, self._queue, error)
            return ()
        self._calls_per_entry += 0.2 * (len(calls) - self._calls_per_entry)
        self.takes_many = all(call.flags & CallFlag.SHORT for call in calls)
        return calls

    def read_function(self, function_id: bytes) -> memoryview | None:
        """One of the executor's functions, pickled; ``None`` if the store does not have it."""
        frame = self._store.function(function_id)
        if frame is None:
            return None
        place = places.function(self._ref.session, self._ref.executor, function_id)
        return self._seal.open(Direction.STORED, place, frame)
