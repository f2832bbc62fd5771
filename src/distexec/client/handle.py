"""A handle: stands for a value that was sent once, in any number of calls."""

import pickle
from typing import Any, Generic, TypeVar

from distexec.client.depot import StoredValue
from distexec.errors import FrameRejected, ValueLost
from distexec.wire.blobs import BlobMissing, BlobRef, Mark
from distexec.wire.payload import unpack
from distexec.wire.values import unpack_result
from distexec.worker import context

T = TypeVar("T")


class Handle(Generic[T]):
    """What `DistributedExecutor.put` returns. Give it to calls in place of the value.

    Anywhere in a call's arguments it arrives as the value. In a function's closure or globals it
    stays a handle, and `get` brings the value. The value is kept until the handle is forgotten, or
    its executor shuts down and the calls that use it have ended.
    """

    __slots__ = ("__weakref__", "_mark", "_ref")

    def __init__(self, ref: BlobRef, holder: StoredValue | None) -> None:
        self._ref = ref
        self._mark: Mark | None = Mark(ref.encode())
        self._mark.holder = holder

    def get(self) -> T:
        """Return the value: a new copy each time.

        Raises:
            ValueError: Its executor has shut down.
            RuntimeError: This process is neither the one that put it, nor runs a call.
            ValueLost: Who put it has ended, or its file was removed or changed.
        """
        self._open_mark()
        value: T
        if (holder := self._holder()) is not None:
            try:
                content = holder.checked()
            except (OSError, FrameRejected) as error:
                raise ValueLost("Handle.get", self._ref.name.hex()) from error
            value = unpack_result(memoryview(content).toreadonly())
            return value
        fetch = context.running.fetch
        if fetch is None:
            raise RuntimeError(
                "a handle can be opened where it was put, and in calls that were given it"
            )
        try:
            value = unpack_result(fetch(self._ref))
        except BlobMissing as error:
            raise ValueLost("a call", self._ref.name.hex()) from error
        return value

    def _holder(self) -> StoredValue | None:
        """The value, where it was put, and unless it was closed."""
        holder = None if self._mark is None else self._mark.holder
        return holder if isinstance(holder, StoredValue) else None

    @property
    def size(self) -> int:
        """Bytes of the value when pickled."""
        return self._ref.size

    def _open_mark(self) -> Mark:
        if self._mark is None:
            raise ValueError(
                "the executor that put this value was shut down, and the value went with it"
            )
        return self._mark

    def _close(self) -> None:
        self._mark = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        mark = self._open_mark()
        return _restore, (pickle.PickleBuffer(mark) if protocol >= 5 else bytes(mark),)

    def __copy__(self) -> "Handle[T]":
        return self

    def __deepcopy__(self, memo: object) -> "Handle[T]":
        return self

    def __repr__(self) -> str:
        state = "closed " if self._mark is None else ""
        return f"<{state}Handle {self._ref.digest.hex()[:12]} | {self._ref.size:,} bytes>"


def _restore(content: memoryview | bytearray | bytes) -> Any:
    """Unpickle a handle: its value where the content took its place, else a handle again."""
    if isinstance(content, memoryview):
        return unpack(content)
    return Handle(BlobRef.decode(content), None)
