"""The protocol spoken by hand: whatever pieces the bytes come in, and what is no answer."""

import socket
import threading
from collections.abc import Iterator

import pytest
from redis import exceptions as redis_errors

from distexec.store.resp import LEAST_READ, Wire


@pytest.fixture(name="ends")
def make_ends() -> Iterator[tuple[Wire, socket.socket]]:
    """A wire, and the server's end of it."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5.0)
    with ours, theirs:
        yield Wire(ours), theirs


ANSWER = b"*3\r\n$5\r\na\r\nb\r\r\n:-7\r\n*2\r\n$-1\r\n+OK\r\n"


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_answers_may_come_in_pieces(ends: tuple[Wire, socket.socket], cut: int) -> None:
    """A stream knows no messages: any byte may be the last one for a while."""
    wire, server = ends
    server.sendall(ANSWER[:cut])
    wire._socket = _InPieces(wire._socket, server, ANSWER[cut:])  # type: ignore[assignment]

    assert wire.read(5.0) == [b"a\r\nb\r", -7, [None, b"OK"]]


class _InPieces:
    """A socket whose rest is sent when its first piece was read: no thread, no clock."""

    def __init__(self, ours: socket.socket, server: socket.socket, rest: bytes) -> None:
        self._ours, self._server, self._rest = ours, server, rest

    def recv(self, size: int) -> bytes:
        piece = self._ours.recv(size)
        rest, self._rest = self._rest, b""
        self._server.sendall(rest)
        return piece

    def settimeout(self, seconds: float) -> None:
        self._ours.settimeout(seconds)


def test_silence_has_an_end(ends: tuple[Wire, socket.socket]) -> None:
    """A server that hangs must not make its callers hang, neither reading nor writing."""
    wire, _ = ends

    with pytest.raises(TimeoutError):
        wire.read(0.01)
    with pytest.raises(TimeoutError):
        wire.send([("SET", "key", bytes(10_000_000))])


def test_what_is_longer_than_a_read_comes_whole(ends: tuple[Wire, socket.socket]) -> None:
    """Results of some megabytes are usual, and what follows them is not lost."""
    wire, server = ends
    long = bytes(range(256)) * (3 * LEAST_READ // 256)
    server.sendall(b"$%d\r\n%b\r\n:1\r\n" % (len(long), long))

    assert (wire.read(5.0), wire.read(5.0)) == (long, 1)


def test_commands_are_written_as_the_server_wants_them(ends: tuple[Wire, socket.socket]) -> None:
    """Lengths count bytes, not characters."""
    wire, server = ends
    wire.send([("SET", "käse", b"\x00\r\n"), ("XREAD", 12)])

    assert server.recv(200) == (
        b"*3\r\n$3\r\nSET\r\n$5\r\nk\xc3\xa4se\r\n$3\r\n\x00\r\n\r\n*2\r\n$5\r\nXREAD\r\n$2\r\n12\r\n"
    )


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (b"-NOSCRIPT No matching script\r\n", redis_errors.NoScriptError, "No matching script"),
        (b"-OOM too much\r\n", redis_errors.OutOfMemoryError, "too much"),
        (b"-NOAUTH log in\r\n", redis_errors.AuthenticationError, "log in"),
        (b"-WRONGTYPE of a key\r\n", redis_errors.ResponseError, "WRONGTYPE of a key"),
        (b"HTTP/1.1 400 Bad Request\r\n", redis_errors.InvalidResponse, "HTTP"),
        (b"$much\r\n", redis_errors.InvalidResponse, "much"),
        (b"*2\r\n:1\r\n-ERR inside\r\n", redis_errors.InvalidResponse, "inside"),
    ],
)
def test_errors_are_told_apart(
    ends: tuple[Wire, socket.socket], answer: bytes, kind: type[Exception], text: str
) -> None:
    """Some pass, some refuse us, and some servers are none."""
    wire, server = ends
    server.sendall(answer)

    with pytest.raises(kind, match=text) as raised:
        wire.read(5.0)
    assert type(raised.value) is kind


def test_silence_and_a_closed_connection_end_the_wait(ends: tuple[Wire, socket.socket]) -> None:
    """Every wait has an end."""
    wire, server = ends
    with pytest.raises(TimeoutError):
        wire.read(0.01)
    server.close()
    with pytest.raises(redis_errors.ConnectionError):
        wire.read(5.0)


def test_commands_larger_than_the_sockets_buffer_are_written_whole(
    ends: tuple[Wire, socket.socket],
) -> None:
    """What the first write takes is not written again."""
    wire, server = ends
    value = bytes(range(256)) * 20_000
    expected = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n%b\r\n" % (len(value), value)

    sender = threading.Thread(target=wire.send, args=([("SET", "key", value)],))
    sender.start()
    received = b""
    while len(received) < len(expected):
        received += server.recv(1 << 20)
    sender.join()

    assert received == expected
