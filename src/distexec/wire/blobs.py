"""Blobs: large content that travels beside the calls and replies that use it, not in them.

A payload names a blob by a `BlobRef`, which says who keeps it, how large it is, and what its bytes
hash to. Since payloads are signed, so is that: content from a file of the same machine is checked
against the hash before anybody looks into it. Over the server a blob travels in chunks, each
sealed for its place.
"""

import hashlib
import secrets
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from distexec.errors import FrameRejected
from distexec.wire import places
from distexec.wire.compression import Codec
from distexec.wire.seal import Direction, Seal

#: Bytes from which content goes beside its call. Below, the trips for it cost more than the copies
#: saved: benchmarks/large_values.py.
BESIDE_BYTES = 256 * 1024

#: Bytes of a blob that travel and are kept on the server together. The server copies each answer
#: into a buffer of that reader: small chunks keep its peak near the size of what it stores.
CHUNK_BYTES = 1024 * 1024

#: What the names of blobs begin with: those of arguments are kept by who put them, those of results
#: are removed by who fetched them, or by their age.
ARGUMENT, RESULT = b"a", b"r"

#: In place of a digest: the content is data that nobody unpickles, and its folder is as private as
#: the secret beside it. Hashing would be most of what a large result costs.
UNHASHED = bytes(32)

BytesLike = bytes | bytearray | memoryview

_REF = struct.Struct("!32sQ16s")


class BlobMissing(Exception):
    """A blob is not where its reference says. Its owner may send it again."""

    def __init__(self, ref: "BlobRef") -> None:
        super().__init__(ref)
        self.ref = ref


class BlobRef(NamedTuple):
    """Names a blob, in a signed frame."""

    #: Whose it is.
    session: str
    #: Unique in the session: see `argument_name` and `result_name`.
    name: bytes
    #: SHA-256 of the content, or `UNHASHED`.
    digest: bytes
    size: int

    def encode(self) -> bytes:
        """Write it for a payload."""
        return _REF.pack(self.digest, self.size, self.name) + self.session.encode()

    @classmethod
    def decode(cls, data: BytesLike) -> "BlobRef":
        """Read what `encode` wrote.

        Raises:
            FrameRejected: It is something else.
        """
        try:
            digest, size, name = _REF.unpack_from(data)
            session = bytes(data[_REF.size :]).decode()
        except (struct.error, UnicodeDecodeError) as error:
            raise FrameRejected(f"blob: {error}") from None
        if not (session.isascii() and session.isalnum()):  # It becomes part of a path.
            raise FrameRejected("blob: no such session")
        return cls(session, name, digest, size)


class StoredResult(NamedTuple):
    """A large result: what is unpickled and signed, and where the buffers are."""

    ref: BlobRef
    #: Empty if all of it is there.
    head: bytes | memoryview

    def encode(self) -> bytes:
        """Write it for a reply."""
        ref = self.ref.encode()
        return b"".join((bytes([len(ref)]), ref, self.head))

    @classmethod
    def decode(cls, data: BytesLike) -> "StoredResult":
        """Read what `encode` wrote.

        Raises:
            FrameRejected: It is something else.
        """
        view = memoryview(data)
        end = 1 + (view[0] if view else 0)
        return cls(BlobRef.decode(view[1:end]), view[end:])


def argument_name(digest: bytes) -> bytes:
    """The name of what calls use: equal content has one."""
    return ARGUMENT + digest[:15]


def result_name() -> bytes:
    """The name of what a call returned: equal results are fetched, and removed, each for itself."""
    return RESULT + secrets.token_bytes(15)


class Mark(bytearray):
    """An encoded reference that stands in a pickle for the blob, as one of its buffers.

    Where the pickle is part of a call's arguments the blob's content takes its place; in any other
    pickle it stays what it is, and is a reference again when it comes back. Mutable, though nobody
    changes it: pickle would hand out what replaces it for reading only.
    """

    #: Who keeps the blob, in the process that put it.
    holder: object = None


class Keeper(Protocol):
    """Keeps large content beside the payload that is being packed."""

    def hold(self, content: memoryview, held: list[Any]) -> BlobRef:
        """Keep *content* as it is now, as long as what is added to *held* lives."""
        ...

    def hold_marked(self, mark: Mark, held: list[Any]) -> BlobRef:
        """Keep what *mark* stands for, likewise."""
        ...


#: Returns a blob's content: writable if nobody else sees it. Raises `BlobMissing`.
Fetch = Callable[[BlobRef], memoryview]


def digest_of(parts: Iterable[BytesLike]) -> bytes:
    """The SHA-256 of *parts*, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def chunk_count(ref: BlobRef) -> int:
    """How many chunks carry the blob: at least one."""
    return max(1, -(-ref.size // CHUNK_BYTES))


def seal_chunks(
    seal: Seal, ref: BlobRef, content: memoryview, codec: Codec = Codec.NONE
) -> Iterator[bytes]:
    """Cut the blob into sealed chunks, one at a time."""
    for index in range(chunk_count(ref)):
        part = content[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        yield seal.seal(Direction.STORED, _place(ref, index), part, codec)


def open_chunk(seal: Seal, ref: BlobRef, index: int, frame: BytesLike) -> memoryview:
    """Return a chunk's content.

    Raises:
        FrameRejected: It was not sealed for this place in this blob, or has another size.
    """
    content = seal.open(Direction.STORED, _place(ref, index), frame)
    if len(content) != min(CHUNK_BYTES, ref.size - index * CHUNK_BYTES):
        raise FrameRejected(f"blob: chunk {index} has {len(content)} bytes")
    return content


def _place(ref: BlobRef, index: int) -> bytes:
    return places.blob(ref.session, ref.name, ref.digest, ref.size, index)
