"""Brings blobs and puts them, for callers and leases alike: by a file, or over the server."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from distexec.errors import FrameRejected
from distexec.store import files
from distexec.wire.blobs import (
    UNHASHED,
    BlobMissing,
    BlobRef,
    BytesLike,
    chunk_count,
    digest_of,
    open_chunk,
    seal_chunks,
)
from distexec.wire.compression import Codec
from distexec.wire.seal import Seal


class Content:
    """A blob's bytes in this process: in memory, or, if they are many, in a file."""

    __slots__ = ("_data", "_file", "size")

    def __init__(self, size: int, *, data: bytearray | None, file: BinaryIO | None) -> None:
        self.size, self._data, self._file = size, data, file

    @property
    def is_mapped(self) -> bool:
        """Whether each `view` is another one, which nobody else sees."""
        return self._data is None

    def view(self) -> memoryview:
        """The bytes, to write to as well."""
        if self._data is not None:
            return memoryview(self._data)
        assert self._file is not None
        return files.private(self._file, self.size)

    def close(self) -> None:
        """Close the file. What was viewed stays."""
        if self._file is not None:
            self._file.close()


def load(
    ref: BlobRef, folder: Path | None, chunk: Callable[[int], bytes | None], seal: Seal
) -> Content:
    """Bring a blob here, after its hash or its signatures were checked.

    Args:
        folder: Where it may be a file.
        chunk: Returns one of its chunks from the server, if that has it.

    Raises:
        BlobMissing: It is neither here nor there.
        FrameRejected: It is something else than the reference says.
    """
    if folder is not None:
        file = files.open_file(files.path_of(folder, ref.session, ref.name), ref.size)
        if file is not None:
            return _check(ref, file)
    return _download(ref, chunk, seal)


def _check(ref: BlobRef, file: BinaryIO) -> Content:
    try:
        if ref.size < files.MAPPED_BYTES:
            data = files.read(file, ref.size)
            content, copy = Content(ref.size, data=data, file=None), memoryview(data)
        else:
            content = Content(ref.size, data=None, file=file)
            copy = files.read_only(file, ref.size)
        if ref.digest != UNHASHED and digest_of((copy,)) != ref.digest:
            raise FrameRejected("blob: the file's content is not what was signed")
    except BaseException:
        file.close()
        raise
    if not content.is_mapped:
        file.close()
    return content


def _download(ref: BlobRef, chunk: Callable[[int], bytes | None], seal: Seal) -> Content:
    file = files.spool() if ref.size >= files.MAPPED_BYTES else None
    data = bytearray()
    try:
        for index in range(chunk_count(ref)):
            frame = chunk(index)
            if frame is None:
                raise BlobMissing(ref)
            part = open_chunk(seal, ref, index, frame)
            if file is None:
                data += part
            else:
                files.write_parts(file.fileno(), (part,))
    except BaseException:
        if file is not None:
            file.close()
        raise
    return Content(ref.size, data=data if file is None else None, file=file)


def upload(
    ref: BlobRef,
    content: BytesLike,
    put: Callable[[bytes, int, bytes], None],
    seal: Seal,
    codec: Codec = Codec.NONE,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Put a blob on the server, a chunk at a time.

    Args:
        meanwhile: Called after each chunk.

    Raises:
        ClusterError: By *put*.
    """
    for index, frame in enumerate(seal_chunks(seal, ref, memoryview(content), codec)):
        put(ref.name, index, frame)
        meanwhile()


def put_file(ref: BlobRef, folder: Path | None, parts: Sequence[BytesLike]) -> bool:
    """Write a blob for the other side to map; False if there is no way to."""
    if folder is None:
        return False
    try:
        files.write_file(files.path_of(folder, ref.session, ref.name), parts)
    except OSError:
        return False  # No room, or the session's folder is on another machine.
    return True
