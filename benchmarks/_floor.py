"""The least that a call through the server can cost: two trips through it, and an echo process.

Spoken by hand over bare sockets, nothing is encoded, signed, acknowledged or remembered.
"""

import multiprocessing
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from distexec import LocalCluster

#: Bytes that travel each way: a small call's frame and its reply's are about as long.
_BYTES = 160

PAYLOAD = b"x" * _BYTES


def _command(*parts: bytes) -> bytes:
    head = b"*%d\r\n" % len(parts)
    return head + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def _push_and_wait(out: bytes, back: bytes) -> tuple[bytes, int]:
    """What to send in one piece, and the length of its two answers."""
    request = _command(b"RPUSH", out, PAYLOAD) + _command(b"BLPOP", back, b"0")
    return request, len(b":1\r\n") + len(_command(back, PAYLOAD))


def connect(cluster_socket: str, password: str) -> socket.socket:
    """A connection to the server, logged in."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(cluster_socket)
    connection.sendall(_command(b"AUTH", password.encode()))
    _receive(connection, len(b"+OK\r\n"))
    return connection


def _receive(connection: socket.socket, length: int) -> bytes:
    answer = connection.recv(length)
    while len(answer) < length:
        more = connection.recv(length - len(answer))
        if not more:
            raise ConnectionError("the server is gone")
        answer += more
    return answer


def _echo(cluster_socket: str, password: str) -> None:
    with connect(cluster_socket, password) as connection:
        connection.sendall(_command(b"BLPOP", b"bench:calls", b"0"))
        _receive(connection, len(_command(b"bench:calls", PAYLOAD)))
        request, length = _push_and_wait(b"bench:replies", b"bench:calls")
        try:
            while True:
                connection.sendall(request)
                _receive(connection, length)
        except (OSError, KeyboardInterrupt):
            return


@contextmanager
def process_beside(
    cluster: LocalCluster, target: Callable[..., None], *args: object
) -> Iterator[tuple[str, str]]:
    """Run *target* in a process, with how to `connect` to *cluster*'s server; yields that, too."""
    endpoint = cluster.endpoint
    address = str(endpoint.path), endpoint.password or ""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=target, args=(*address, *args), daemon=True)
    process.start()
    try:
        yield address
    finally:
        process.terminate()
        process.join()


@contextmanager
def open_echo(cluster: LocalCluster) -> Iterator[Callable[..., object]]:
    """Start the echo process on *cluster*'s server; yields what makes one round trip."""
    request, length = _push_and_wait(b"bench:calls", b"bench:replies")
    with process_beside(cluster, _echo) as address, connect(*address) as connection:

        def trip(*call: object) -> object:
            connection.sendall(request)
            return _receive(connection, length)

        yield trip
