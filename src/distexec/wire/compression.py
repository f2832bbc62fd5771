"""Compression of frames, where it pays: a sample is tried first, and the frame names the codec.

Never on one machine: a Unix socket carries more bytes in a second than any codec makes. Between
machines a frame is smaller by the ratio, and is signed, sent and kept three times.
"""

import enum
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from distexec.errors import FrameRejected

BytesLike = bytes | bytearray | memoryview


class Codec(enum.IntEnum):
    """How a frame's body is compressed. Larger is better."""

    NONE = 0
    ZLIB = 1
    ZSTD = 2


#: Bytes from which a body is worth a try: what fits in a few packets arrives in one go anyway.
LEAST_BYTES = 16 * 1024

#: Bytes and number of the samples, spread over the body: 0.1 ms with zlib.
SAMPLE_BYTES = 4 * 1024
SAMPLES = 4

#: Ratios from which it pays: zlib makes 150 MB/s, a little more than a Gbit/s carries, and zstd
#: four times that.
_PAYS = {Codec.ZLIB: 0.5, Codec.ZSTD: 0.7}

_ZLIB_LEVEL = _ZSTD_LEVEL = 1

_SIZE = struct.Struct("!Q")


def best() -> Codec:
    """The best codec of this process."""
    return Codec.ZSTD if _zstd() is not None else Codec.ZLIB


def compress(parts: Sequence[BytesLike], codec: Codec) -> tuple[Codec, Sequence[BytesLike]]:
    """Compress a body, in parts, if that pays.

    Returns:
        What was done, and the body: as it was, or its size and itself compressed.
    """
    size = sum(map(len, parts))
    if codec is Codec.NONE or size < LEAST_BYTES or not _pays(parts, size, codec):
        return Codec.NONE, parts
    encoder = _encoder(codec)
    packed = [encoder.compress(part) for part in parts]
    return codec, (_SIZE.pack(size), *packed, encoder.flush())


def expand(body: memoryview, codec: int, most: int) -> memoryview:
    """Return what was compressed, and never more than it says, nor than *most* bytes.

    Raises:
        FrameRejected: It is too large, damaged, or compressed with what is not known here.
    """
    if len(body) < _SIZE.size:
        raise FrameRejected("compression: too short")
    (size,) = _SIZE.unpack_from(body)
    if not 0 < size <= most:  # Zero would mean no limit.
        raise FrameRejected(f"compression: {size:,} bytes are more than the {most:,} allowed")
    try:
        if codec == Codec.ZLIB:
            decoder = zlib.decompressobj()
            data = decoder.decompress(body[_SIZE.size :], size)
            # One more byte would show that there is more than was said.
            ended = not decoder.decompress(decoder.unconsumed_tail, 1) and decoder.eof
        elif codec == Codec.ZSTD and _zstd() is not None:
            data, ended = _zstd().expand(body[_SIZE.size :], size)
        else:
            raise FrameRejected(f"compression: codec {codec} is not known here")
    except FrameRejected:
        raise
    except Exception as error:
        raise FrameRejected(f"compression: {error}") from None
    if len(data) != size or not ended:
        raise FrameRejected(f"compression: {len(data):,} bytes instead of {size:,}")
    return memoryview(data)


def _pays(parts: Sequence[BytesLike], size: int, codec: Codec) -> bool:
    largest = max(parts, key=len)
    step = max(SAMPLE_BYTES, len(largest) // SAMPLES)
    samples = b"".join(
        largest[start : start + SAMPLE_BYTES] for start in range(0, len(largest), step)
    )
    encoder = _encoder(codec)
    packed = len(encoder.compress(samples)) + len(encoder.flush())
    return packed <= _PAYS[codec] * len(samples)


def _encoder(codec: Codec) -> Any:
    if codec is Codec.ZSTD:
        return _zstd().encoder()
    return zlib.compressobj(_ZLIB_LEVEL)


class _StandardZstd:
    """Python 3.14's own."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def encoder(self) -> Any:
        return self._module.ZstdCompressor(level=_ZSTD_LEVEL)

    def expand(self, data: memoryview, size: int) -> tuple[bytes, bool]:
        decoder = self._module.ZstdDecompressor()
        found = decoder.decompress(data, size)
        if not decoder.eof and not decoder.needs_input:
            found += decoder.decompress(b"", 1)
        return found, decoder.eof


class _ExtraZstd:
    """The package ``zstandard``: ``pip install distexec[zstd]``."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def encoder(self) -> Any:
        return self._module.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()

    def expand(self, data: memoryview, size: int) -> tuple[bytes, bool]:
        # As a stream: its one-shot way believes the size that the data claims to have.
        with self._module.ZstdDecompressor().stream_reader(data) as reader:
            found = reader.read(size)
            return found, not reader.read(1)


@cache
def _zstd() -> Any:
    """Python's own, else the extra's; ``None`` if there is neither."""
    try:
        from compression import zstd  # type: ignore[import-not-found]  # Python 3.14

        return _StandardZstd(zstd)
    except ImportError:
        pass
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]

        return _ExtraZstd(zstandard)
    except ImportError:
        return None
