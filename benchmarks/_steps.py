"""A call through the server that keeps one promise more at each step, in the shortest way.

Each is a few lines of Python on the floor's sockets: what a program costs that does just this.
"""

import concurrent.futures
import hmac
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from typing import Any

from _floor import PAYLOAD, connect, process_beside

from distexec import LocalCluster

#: Seconds that a connection may be silent.
_PATIENCE = 600.0

_CALLS, _REPLIES, _GROUP = "{bench:%s}:calls", "{bench:%s}:replies", "leases"
_SECRET = b"s" * 32


def _plain(value: Any) -> bytes:
    """Carries nothing, as the floor."""
    return PAYLOAD


def _nothing(frame: bytes) -> Any:
    return None


def _seal(value: Any) -> bytes:
    body = pickle.dumps(value)
    return hmac.digest(_SECRET, body, "sha256") + body


def _open(frame: bytes) -> Any:
    mark, body = frame[:32], frame[32:]
    if not hmac.compare_digest(mark, hmac.digest(_SECRET, body, "sha256")):
        raise ValueError("not signed")
    return pickle.loads(body)


class _Line:
    """One connection to the server."""

    def __init__(self, *address: str) -> None:
        from distexec.store.resp import Wire

        self._socket = connect(*address)
        self._socket.settimeout(_PATIENCE)
        self._wire = Wire(self._socket)

    def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send *commands* in one piece, and return their answers."""
        self._wire.send(commands)
        return [self._wire.read(_PATIENCE) for _ in commands]

    def end(self) -> None:
        """Wake whoever waits for an answer: it gets an error."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


def _add(key: str, frame: bytes) -> tuple[Any, ...]:
    return "XADD", key, "MAXLEN", "~", "1000", "*", "f", frame


def _read(name: str, seen: bytes) -> tuple[Any, ...]:
    return "XREAD", "BLOCK", "0", "STREAMS", _REPLIES % name, seen


def _serve(cluster_socket: str, password: str, name: str, is_signed: bool) -> None:
    """Run calls: each stays on the stream until its reply is there."""
    line, calls, replies = _Line(cluster_socket, password), _CALLS % name, _REPLIES % name
    take = ("XREADGROUP", "GROUP", _GROUP, "a", "COUNT", "1", "BLOCK", "0", "STREAMS", calls, ">")
    line.ask(("XGROUP", "CREATE", calls, _GROUP, "0", "MKSTREAM"))
    try:
        (answer,) = line.ask(take)
        while True:
            ((_, ((entry, (_, frame)),)),) = answer
            if is_signed:
                number, function, args = _open(frame)
                frame = _seal((number, function(*args)))
            reply = _add(replies, frame)
            *_, answer = line.ask(
                reply, ("XACK", calls, _GROUP, entry), ("XDEL", calls, entry), take
            )
    except (Exception, KeyboardInterrupt):
        line.close()


@contextmanager
def _lines(
    cluster: LocalCluster, name: str, count: int, *, is_signed: bool
) -> Iterator[list[_Line]]:
    """A worker that runs calls, and so many connections for their caller."""
    with process_beside(cluster, _serve, name, is_signed) as address, ExitStack() as stack:
        lines = [stack.enter_context(closing(_Line(*address))) for _ in range(count)]
        try:
            yield lines
        finally:
            lines[0].ask(("DEL", _CALLS % name, _REPLIES % name))


@contextmanager
def open_trips(
    cluster: LocalCluster, name: str, *, is_signed: bool
) -> Iterator[Callable[..., Any]]:
    """A caller that waits for each reply itself.

    Args:
        is_signed: It sends the call, pickled and signed; else just as many bytes.
    """
    pack, unpack = (_seal, _open) if is_signed else (_plain, _nothing)
    with _lines(cluster, name, 1, is_signed=is_signed) as (line,):
        seen, number = b"0", 0

        def trip(function: Callable[..., Any], *args: Any) -> Any:
            nonlocal seen, number
            number += 1
            put = _add(_CALLS % name, pack((number, function, args)))
            _, answer = line.ask(put, _read(name, seen))
            ((_, ((seen, (_, frame)),)),) = answer
            return unpack(frame)

        yield trip


@contextmanager
def open_futures(cluster: LocalCluster, name: str) -> Iterator[Callable[..., Any]]:
    """A caller whose calls have futures, which a thread settles as replies come."""
    with _lines(cluster, name, 2, is_signed=True) as (line, replies):
        waiting: dict[int, concurrent.futures.Future[Any]] = {}
        number = 0

        def collect() -> None:
            seen = b"0"
            while True:
                try:
                    (answer,) = replies.ask(_read(name, seen))
                except Exception:
                    return
                for entry, (_, frame) in answer[0][1]:
                    seen, (ended, value) = entry, _open(frame)
                    waiting.pop(ended).set_result(value)

        def trip(function: Callable[..., Any], *args: Any) -> Any:
            nonlocal number
            number += 1
            future = waiting[number] = concurrent.futures.Future[Any]()
            line.ask(_add(_CALLS % name, _seal((number, function, args))))
            return future.result(_PATIENCE)

        collector = threading.Thread(target=collect)
        collector.start()
        try:
            yield trip
        finally:
            replies.end()
            collector.join()


#: From the floor to distexec: each has what those before it have.
STEPS: dict[str, Callable[[LocalCluster, str], AbstractContextManager[Callable[..., Any]]]] = {
    "acknowledged": partial(open_trips, is_signed=False),
    "signed": partial(open_trips, is_signed=True),
    "futures": open_futures,
}
