"""The other process: it unpacks a function and its arguments, calls it, and packs what came of it.

Imported by tests and by the scripts that they run; started as a program by `Peer`.
"""

import struct
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any

from distexec.wire.exceptions import pack_exception, unpack_exception
from distexec.wire.values import (
    FunctionPacker,
    pack_arguments,
    pack_result,
    unpack_arguments,
    unpack_function,
    unpack_result,
)


class Peer:
    """A process to call functions in, one after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._packer = FunctionPacker()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what *function* returned there, or raise what it raised."""
        assert self._process.stdin is not None and self._process.stdout is not None
        _write(self._process.stdin, self._packer.pack(function).payload)
        _write(self._process.stdin, pack_arguments(args, kwargs))
        kind, payload = _read(self._process.stdout), _read(self._process.stdout)
        if kind == b"raised":
            raise unpack_exception(payload)
        return unpack_result(payload)


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(struct.pack("!Q", len(data)) + data)
    file.flush()


def _read(file: IO[bytes]) -> bytes:
    size = file.read(8)
    return file.read(struct.unpack("!Q", size)[0]) if size else b""


def _serve() -> None:
    while function := _read(sys.stdin.buffer):
        arguments = _read(sys.stdin.buffer)
        try:
            args, kwargs = unpack_arguments(arguments)
            kind, payload = b"returned", pack_result(unpack_function(function)(*args, **kwargs))
        except BaseException as error:
            kind, payload = b"raised", pack_exception(error)
        _write(sys.stdout.buffer, kind)
        _write(sys.stdout.buffer, payload)


if __name__ == "__main__":
    _serve()
