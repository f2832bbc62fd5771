"""A pickle, and the large buffers that came with it, as one payload.

A payload is a pickle, and then nothing else is added; or, where values brought buffers of protocol
5 (arrays), a block that carries them beside the pickle, each copied once on the way out::

    "B" | count (4) | length << 2 | elsewhere << 1 | writable (8) ... | pickle | buffer ...

A part that is *elsewhere* is a blob, and the block holds its reference. The two differ in their
first byte: a pickle begins with 0x80. Buffers that were writable are writable again when they are
loaded: in place where nobody else sees these bytes, else as a copy. The others are slices.
"""

import pickle
import struct
from collections.abc import Sequence
from typing import Any

from distexec.wire.blobs import BESIDE_BYTES, BlobRef, BytesLike, Fetch, Keeper, Mark
from distexec.wire.pickling import _loads, dump

_WITH_BUFFERS = b"B"
_HEADER = struct.Struct("!cI")
_ELSEWHERE, _WRITABLE = 2, 1

Parts = Sequence[BytesLike]


def pack(value: Any, keeper: Keeper | None = None, held: list[Any] | None = None) -> Parts:
    """Pickle *value*; return the parts of its payload, which share memory with it.

    Args:
        keeper: Takes what is large, and the blobs of handles; the payload refers to them.
        held: Takes what keeps them.

    Raises:
        BaseException: Whatever pickling raised.
    """
    buffers: list[pickle.PickleBuffer] = []
    data = dump(value, buffers, replace_marks=keeper is not None)
    if not buffers and (keeper is None or len(data) < BESIDE_BYTES):
        return (data,)
    held = [] if held is None else held
    lengths: list[int] = []
    parts: list[BytesLike] = []
    for view in (memoryview(data), *(buffer.raw() for buffer in buffers)):
        writable = 0 if view.readonly else _WRITABLE
        part: BytesLike = view
        if keeper is not None and isinstance(view.obj, Mark):
            part, writable = keeper.hold_marked(view.obj, held).encode(), _ELSEWHERE | _WRITABLE
        elif keeper is not None and view.nbytes >= BESIDE_BYTES:
            part, writable = keeper.hold(view, held).encode(), _ELSEWHERE | writable
        lengths.append(len(part) << 2 | writable)
        parts.append(part)
    header = _HEADER.pack(_WITH_BUFFERS, len(parts)) + struct.pack(f"!{len(lengths)}Q", *lengths)
    return (header, *parts)


def split(parts: Parts) -> tuple[bytes, Parts]:
    """Part a payload into what is unpickled, and the buffers, of which nothing is.

    The first is empty if there is nothing to part.
    """
    if len(parts) == 1 or len(parts[1]) >= BESIDE_BYTES:
        return b"", parts
    return b"".join(parts[:2]), parts[2:]


def unpack(
    payload: BytesLike, fetch: Fetch | None = None, buffers: memoryview | None = None
) -> Any:
    """Load what `pack` packed.

    Args:
        payload: Where it is writable, nobody else may see it.
        buffers: The rest of a payload that was split; as the payload itself.

    Raises:
        BlobMissing: By *fetch*.
        BaseException: Whatever unpickling raised.
    """
    # By number: to slice and compare a memoryview takes four times as long.
    if not payload or payload[0] != _WITH_BUFFERS[0]:
        return _loads(payload)
    view = memoryview(payload)
    _, count = _HEADER.unpack_from(view)
    lengths = struct.unpack_from(f"!{count}Q", view, _HEADER.size)
    start = _HEADER.size + 8 * count
    parts: list[BytesLike] = []
    for index, length in enumerate(lengths):
        if index == 1 and buffers is not None:
            view, start = buffers, 0
        part = view[start : start + (length >> 2)]
        start += length >> 2
        if length & _ELSEWHERE:
            if fetch is None:
                raise ValueError("a blob cannot be fetched here")
            part = fetch(BlobRef.decode(part))
        if not length & _WRITABLE:
            parts.append(part.toreadonly())
        else:
            # A view in any case: a bytearray would be a handle's mark, if it was not replaced.
            parts.append(memoryview(bytearray(part)) if part.readonly else part)
    return _loads(parts[0], parts[1:])


def size_of(parts: Parts) -> int:
    """Bytes of all parts."""
    return len(parts[0]) if len(parts) == 1 else sum(map(len, parts))


def join(parts: Parts) -> bytes:
    """The payload as one object."""
    return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
