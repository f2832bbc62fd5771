"""The server's protocol (RESP2), spoken over a socket that redis-py has opened and logged in to.

redis-py takes 30 us to send a command and read its answer, this 8 us; a call makes four such trips.
Measured with a PING over a Unix socket, beside the 20 us that the server and the kernel need.
"""

import os
import socket
import ssl
from collections.abc import Iterable, Sequence
from typing import Any

from redis import exceptions as redis_errors

#: Bytes asked of the socket at a time, at least: most answers come in one piece.
LEAST_READ = 16 * 1024
#: And at most: the memory for them is taken before it is known how many there are.
MOST_READ = 1024 * 1024

#: Errors that are told apart, by their first word. The text of others keeps theirs.
_ERRORS: dict[str, type[redis_errors.RedisError]] = {
    "CLUSTERDOWN": redis_errors.ClusterDownError,
    "LOADING": redis_errors.BusyLoadingError,
    "MASTERDOWN": redis_errors.MasterDownError,
    "NOAUTH": redis_errors.AuthenticationError,
    "NOPERM": redis_errors.NoPermissionError,
    "NOSCRIPT": redis_errors.NoScriptError,
    "OOM": redis_errors.OutOfMemoryError,
    "READONLY": redis_errors.ReadOnlyError,
    "TRYAGAIN": redis_errors.TryAgainError,
    "WRONGPASS": redis_errors.AuthenticationError,
}


class Wire:
    """Writes commands and reads answers. Used by one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._data, self._at = b"", 0
        self._timeout = connection.gettimeout()
        #: Whether bytes may be written without asking first whether there is room, as Python does:
        #: it gives the interpreter away for that, to threads that do not hurry to give it back.
        is_plain = os.name == "posix" and not isinstance(connection, ssl.SSLSocket)
        self._writes_at_once = is_plain and self._timeout is not None

    def send(self, commands: Iterable[Sequence[Any]]) -> None:
        """Send *commands* in one piece.

        Raises:
            OSError: The connection broke, or takes nothing for too long.
        """
        parts: list[bytes] = []
        for command in commands:
            parts.append(b"*%d\r\n" % len(command))
            for part in command:
                if isinstance(part, str):
                    part = part.encode()
                elif not isinstance(part, bytes):
                    part = str(part).encode()
                parts += (b"$%d\r\n" % len(part), part, b"\r\n")
        data = b"".join(parts)
        if self._writes_at_once:
            try:
                written = os.write(self._socket.fileno(), data)
            except BlockingIOError:
                written = 0
            if written == len(data):
                return
            data = data[written:]
        self._socket.sendall(data)

    def read(self, timeout: float) -> Any:
        """Return one answer: bytes, an integer, ``None``, or a list of these.

        Args:
            timeout: Seconds of silence after which to give up.

        Raises:
            redis.exceptions.RedisError: The answer is an error, or is none of a server of this
                kind, or the connection was closed.
            OSError: The connection broke, or the server is silent.
        """
        if timeout != self._timeout:
            self._socket.settimeout(timeout)
            self._timeout = timeout
        try:
            return self._read()
        except ValueError as error:
            raise redis_errors.InvalidResponse(f"protocol error: {error}") from None

    def _read(self) -> Any:
        while (end := self._data.find(b"\r\n", self._at)) < 0:
            self._fill(1)
        kind, line = self._data[self._at : self._at + 1], self._data[self._at + 1 : end]
        self._at = end + 2
        if kind == b"$":
            size = int(line)
            if size < 0:
                return None
            if (missing := self._at + size + 2 - len(self._data)) > 0:
                self._fill(missing)
            start, end = self._at, self._at + size
            self._at = end + 2
            return self._data[start:end]
        if kind == b"*":
            count = int(line)
            if count < 0:
                return None
            answers: list[Any] = []
            try:
                for _ in range(count):
                    answers.append(self._read())
            except redis_errors.ResponseError as error:  # No command of ours is answered so.
                raise redis_errors.InvalidResponse(f"an error inside an answer: {error}") from None
            return answers
        if kind == b":":
            return int(line)
        if kind == b"+":
            return line
        if kind == b"-":
            raise _error(line.decode(errors="replace"))
        raise redis_errors.InvalidResponse(f"protocol error: {kind + line[:80]!r}")

    def _fill(self, missing: int) -> None:
        """Read at least so many bytes more."""
        parts = [self._data[self._at :]]
        while missing > 0:
            part = self._socket.recv(min(max(missing, LEAST_READ), MOST_READ))
            if not part:
                raise redis_errors.ConnectionError("the server closed the connection")
            parts.append(part)
            missing -= len(part)
        self._data, self._at = b"".join(parts), 0


def _error(text: str) -> redis_errors.RedisError:
    code, _, rest = text.partition(" ")
    kind = _ERRORS.get(code)
    return redis_errors.ResponseError(text) if kind is None else kind(rest)
