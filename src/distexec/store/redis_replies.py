"""How a session reads its reply stream: on a connection of its own, which mostly waits."""

from typing import Any

from distexec.settings import Settings
from distexec.store import keys
from distexec.store.caller_port import ReplyMark
from distexec.store.endpoint import Endpoint
from distexec.store.link import Command, Link, ServerError
from distexec.store.port import Frame

#: Reply frames read at a time at most.
MOST_REPLIES = 512

#: Bytes of replies that were read and may stay on the server for now: enough that a single call
#: does without the command that removes them, few beside what a window has in flight.
TRIM_BYTES = 16 * 1024
#: Bytes of replies that take longer to look at than to ask for the next ones, which is done first.
AHEAD_BYTES = 1024
#: What an entry takes of these beside its frame.
ENTRY_BYTES = 100

#: The largest id that a stream can have. After it, the server adds nothing more.
LAST_ID = b"18446744073709551615-18446744073709551615"


class ReplyReader:
    """Reads the replies to one session, and removes what was read. Used by one thread."""

    def __init__(self, endpoint: Endpoint, session: str, settings: Settings) -> None:
        self._stream = keys.replies(session)
        self._link = Link(endpoint, settings)
        #: Bytes of replies that were read and are still on the server.
        self._untrimmed = 0
        #: Whether the server was asked for the next replies already.
        self._is_ahead = False
        #: Id of the last reply that was read, and of the last one whose reader came back for more.
        self._last = self._processed = b"0-0"

    def begin(self) -> None:
        """Read from the first reply there is; frames may be heard twice.

        Ids begin anew with the server's clock, whatever that says.
        """
        self._last = self._processed = b"0-0"

    @property
    def has_ended(self) -> bool:
        """Whether no reply can follow: somebody else has written the last one there can be."""
        return self._last == LAST_ID

    def has_collected(self, mark: ReplyMark) -> bool:
        """As `CallerStore.has_collected`."""
        return read_mark(self._processed) >= mark

    def collect(self, timeout: float) -> list[Frame]:
        """As `CallerStore.collect`."""
        self._processed = self._last
        was_ahead, self._is_ahead = self._is_ahead, False
        entries = self._read(timeout)
        if was_ahead and not entries:
            # That was the answer of some time ago.
            entries = self._read(timeout)
        if not entries:
            # A quiet time: leave nothing behind.
            self._untrimmed = TRIM_BYTES + 1 if self._untrimmed else 0
            return []
        self._last = entries[-1][0]
        frames = [fields[1] for _, fields in entries if fields[1]]
        size = sum(map(len, frames)) + ENTRY_BYTES * len(entries)
        self._untrimmed += size
        if size > AHEAD_BYTES:
            # The server listens for more while these are looked at.
            self._link.send_ahead(*self._look(timeout))
            self._is_ahead = True
        return frames

    def _read(self, timeout: float) -> list[list[Any]]:
        *trimmed, answer = self._link.run(*self._look(timeout), blocks=timeout)
        if trimmed:
            self._untrimmed = 0
        if isinstance(answer, ServerError):
            raise answer
        return answer[0][1] if answer else []

    def _look(self, timeout: float) -> list[Command]:
        """Read on; and remove what was read, once it is much."""
        wait = max(1, round(timeout * 1000))
        read = ("XREAD", "COUNT", MOST_REPLIES, "BLOCK", wait, "STREAMS", self._stream, self._last)
        if self._untrimmed <= TRIM_BYTES:
            return [read]
        # Its answer comes before there is something to read, and wakes this thread for nothing.
        return [("XTRIM", self._stream, "MINID", _next_id(self._last)), read]

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


def read_mark(identity: bytes) -> ReplyMark:
    """The mark of the reply with this id."""
    milliseconds, _, count = identity.partition(b"-")
    return int(milliseconds), int(count)


def _next_id(identity: bytes) -> bytes:
    milliseconds, count = read_mark(identity)
    return b"%d-%d" % (milliseconds, count + 1)
