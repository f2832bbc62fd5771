"""A call through the server that keeps one promise more at each step, in the shortest way.

Each is a few lines of Python on the floor's sockets: what a program costs that does just this.
"""

import concurrent.futures
import hmac
import multiprocessing
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from _floor import _connect

from distexec import LocalCluster

#: Seconds that a connection may be silent.
_PATIENCE = 600.0

_CALLS, _REPLIES, _GROUP = "{bench:%s}:calls", "{bench:%s}:replies", "leases"
_SECRET = b"s" * 32

#: As many bytes as the floor carries each way.
_PAYLOAD = b"x" * 160

_Address = tuple[str, str]


def _plain(value: Any) -> bytes:
    """Carries nothing, as the floor."""
    return _PAYLOAD


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

    def __init__(self, address: _Address) -> None:
        from distexec.store.resp import Wire

        self._socket = _connect(*address)
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


def _serve(address: _Address, name: str, is_signed: bool) -> None:
    """Run calls: each stays on the stream until its reply is there."""
    line, calls, replies = _Line(address), _CALLS % name, _REPLIES % name
    take = ("XREADGROUP", "GROUP", _GROUP, "a", "COUNT", "1", "BLOCK", "0", "STREAMS", calls, ">")
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
def _worker(cluster: LocalCluster, name: str, *, is_signed: bool) -> Iterator[_Address]:
    endpoint = cluster.endpoint
    address = str(endpoint.path), endpoint.password or ""
    line, keys = _Line(address), (_CALLS % name, _REPLIES % name)
    line.ask(("XGROUP", "CREATE", keys[0], _GROUP, "0", "MKSTREAM"))
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(address, name, is_signed), daemon=True)
    process.start()
    try:
        yield address
    finally:
        process.terminate()
        process.join()
        line.ask(("DEL", *keys))
        line.close()


@contextmanager
def open_trips(cluster: LocalCluster, *, is_signed: bool) -> Iterator[Callable[..., Any]]:
    """A caller that waits for each reply itself.

    Args:
        is_signed: It sends the call, pickled and signed; else just as many bytes.
    """
    name = "signed" if is_signed else "acknowledged"
    pack, unpack = (_seal, _open) if is_signed else (_plain, _nothing)
    with _worker(cluster, name, is_signed=is_signed) as address:
        line, seen, number = _Line(address), b"0", 0

        def trip(function: Callable[..., Any], *args: Any) -> Any:
            nonlocal seen, number
            number += 1
            put = _add(_CALLS % name, pack((number, function, args)))
            _, answer = line.ask(put, ("XREAD", "BLOCK", "0", "STREAMS", _REPLIES % name, seen))
            ((_, ((seen, (_, frame)),)),) = answer
            return unpack(frame)

        try:
            yield trip
        finally:
            line.close()


@contextmanager
def open_futures(cluster: LocalCluster) -> Iterator[Callable[..., Any]]:
    """A caller whose calls have futures, which a thread settles as replies come."""
    name = "futures"
    with _worker(cluster, name, is_signed=True) as address:
        line, replies = _Line(address), _Line(address)
        waiting: dict[int, concurrent.futures.Future[Any]] = {}
        number = 0

        def collect() -> None:
            seen = b"0"
            while True:
                try:
                    (answer,) = replies.ask(
                        ("XREAD", "BLOCK", "0", "STREAMS", _REPLIES % name, seen)
                    )
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
            line.close()
            replies.close()
