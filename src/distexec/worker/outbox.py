"""What a lease has to tell: replies on their way out, and the stream entries that they finish."""

import threading
import time

from distexec.store.lease_port import STARTS, LeaseStore, Parcel
from distexec.store.port import Held
from distexec.wire import places
from distexec.wire.codec import encode_replies
from distexec.wire.compression import Codec
from distexec.wire.records import Reply
from distexec.wire.seal import Direction, Seal
from distexec.worker.run import flush_output

#: Seconds that a finished call's reply may wait for others to travel with.
DELAY_SECONDS = 0.001

#: The same while one short call after the other runs: as long as those of an entry last.
GATHERING_SECONDS = 0.01

#: Bytes of replies that leave at once.
MOST_BYTES = 128 * 1024


class Outbox:
    """Gathers replies, and sends them together. Thread-safe; only `send` and `exchange` block."""

    def __init__(
        self, store: LeaseStore, seal: Seal, session: str, codec: Codec = Codec.NONE
    ) -> None:
        self._codec = codec
        self._store, self._seal, self._place = store, seal, places.reply(session)
        self._lock = threading.Lock()
        #: Held while sending: what was gathered first leaves first.
        self._sending = threading.Lock()
        self._replies: list[Reply] = []
        self._bytes = 0
        #: When the oldest reply came in.
        self._since = 0.0
        #: Calls of a taken entry that have not been answered yet.
        self._open: dict[int, int] = {}
        self._finished: list[int] = []
        self._reserved: int | None = None
        #: What was sent and not answered. It is sent again as it is, so that its reader can tell.
        self._unanswered: Parcel | None = None
        #: Whether nobody hears the lease any more.
        self.is_void = False

    def __bool__(self) -> bool:
        if self._unanswered is not None or self._reserved is not None:
            return True
        return bool(self._replies or self._finished)

    def expect(self, entry: int, calls: int) -> None:
        """Note that *entry* is finished when so many *calls* were answered."""
        with self._lock:
            if calls:
                self._open[entry] = calls
            else:
                self._finished.append(entry)

    def post(self, reply: Reply) -> None:
        """Add a reply that ends no call."""
        with self._lock:
            self._add(reply, time.monotonic())

    def answer(self, entry: int, reply: Reply, now: float) -> None:
        """Add the last reply of a call of *entry*, which is finished with the last of its calls."""
        with self._lock:
            self._add(reply, now)
            self._open[entry] -= 1
            if not self._open[entry]:
                del self._open[entry]
                self._finished.append(entry)

    def start_reserved(self) -> None:
        """Tell that the reserved entry starts: others may take younger ones."""
        with self._lock:
            self._reserved = STARTS

    def give_back(self, entry: int) -> None:
        """Give the reserved entry back: it is the next that any lease takes."""
        with self._lock:
            self._open.pop(entry, None)
            self._reserved = entry

    def _add(self, reply: Reply, now: float) -> None:
        if not self._replies:
            self._since = now
        self._replies.append(reply)
        self._bytes += len(reply.payload)

    def is_due(self, now: float, delay: float = DELAY_SECONDS) -> bool:
        """Whether what waits here must leave now.

        Args:
            delay: Seconds that replies may wait.
        """
        if self._unanswered is not None or self._reserved is not None:
            return True
        return bool(self._replies) and (self._bytes > MOST_BYTES or now - self._since > delay)

    def send(self, *, wait: bool = True) -> bool:
        """Send the replies and acknowledge what is finished, both or neither.

        Args:
            wait: Return when it is sent; else another thread that is sending may send this next.

        Returns:
            False if somebody else answers for the lease's calls by now: nothing was sent.

        Raises:
            Exception: The store cannot be spoken to. Nothing is forgotten: send again.
        """
        while self._sending.acquire(blocking=wait):
            try:
                if not self.is_void and (parcel := self._gather()) is not None:
                    self.is_void = not self._store.reply(parcel)
                    self._unanswered = None
            finally:
                self._sending.release()
            if wait or self.is_void or not self:
                break
        return not self.is_void

    def exchange(self, count: int, timeout: float = 0.0) -> list[Held] | None:
        """`send`, and take up to *count* entries that are there, in one trip; none without replies.

        Called by the thread that takes.

        Args:
            timeout: As in `LeaseStore.exchange`.

        Returns:
            ``None`` if somebody else answers for the lease's calls by now.

        Raises:
            Exception: As `send`.
        """
        with self._sending:
            if self.is_void:
                return None
            parcel = self._gather()
            if parcel is None:
                return []
            taken = self._store.exchange(parcel, count, timeout)
            self.is_void = taken is None
            self._unanswered = None
            return taken

    def _gather(self) -> Parcel | None:
        """Pack what is to be sent; ``None`` if that is nothing."""
        if self._unanswered is None:
            self._unanswered = self._pack()
        return self._unanswered

    def _pack(self) -> Parcel | None:
        with self._lock:
            replies, self._replies = self._replies, []
            finished, self._finished = self._finished, []
            reserved, self._reserved = self._reserved, None
            self._bytes = 0
        if not replies:
            is_needed = finished or reserved is not None
            return Parcel(None, finished, reserved) if is_needed else None
        flush_output()
        frame = self._seal.seal(Direction.REPLY, self._place, encode_replies(replies), self._codec)
        return Parcel(frame, finished, reserved)
