"""Frames are compressed where it pays, and no frame becomes larger than it says."""

import os
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distexec.errors import FrameRejected
from distexec.wire import compression
from distexec.wire.compression import LEAST_BYTES, Codec, best, compress, expand
from distexec.wire.seal import OVERHEAD, Direction, Seal

SEAL = Seal(b"s" * 32)
CODECS = [
    Codec.ZLIB,
    pytest.param(
        Codec.ZSTD,
        marks=pytest.mark.skipif(
            best() is not Codec.ZSTD, reason="neither Python nor the extra has zstd"
        ),
    ),
]
TEXT = b"the same words again and again, " * 4000


def packed(body: bytes, size: int | None = None) -> memoryview:
    return memoryview(struct.pack("!Q", len(body) if size is None else size) + zlib.compress(body))


@pytest.mark.parametrize("codec", CODECS)
@settings(deadline=None, max_examples=40)
@given(st.binary(min_size=1, max_size=64), st.integers(600, 3000), st.integers(1, 3))
def test_what_is_compressed_comes_back(codec: Codec, word: bytes, count: int, parts: int) -> None:
    """Whatever the parts of a frame are."""
    body = [word * count * 30] * parts

    done, smaller = compress(body, codec)

    joined = memoryview(b"".join(smaller))
    whole = b"".join(body)
    if done:
        assert len(joined) < len(whole)
        assert expand(joined, done, len(whole)) == whole
    else:
        assert joined == whole
        assert len(whole) < LEAST_BYTES or len(word) > 0


@pytest.mark.parametrize("codec", CODECS)
def test_a_sealed_frame_names_its_codec(codec: Codec) -> None:
    """Its reader need not be told."""
    frame = SEAL.seal(Direction.CALL, b"here", TEXT, codec)

    assert len(frame) < len(TEXT) / 10
    assert SEAL.open(Direction.CALL, b"here", frame) == TEXT


@pytest.mark.parametrize("body", [os.urandom(100_000), TEXT[: LEAST_BYTES - 1], b""])
def test_what_would_not_pay_stays_as_it_is(body: bytes) -> None:
    """Random numbers, small frames: trying costs a tenth of a millisecond, no more."""
    frame = SEAL.seal(Direction.CALL, b"here", body, Codec.ZLIB)

    assert len(frame) == len(body) + OVERHEAD


def test_the_signature_comes_first() -> None:
    """A decoder is a large attack surface: it never sees what was not signed."""
    frame = bytearray(SEAL.seal(Direction.CALL, b"here", TEXT, Codec.ZLIB))
    frame[OVERHEAD] ^= 1

    with pytest.raises(FrameRejected, match="signature"):
        SEAL.open(Direction.CALL, b"here", frame)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (packed(TEXT, 2**60), "allowed"),
        (packed(TEXT, 0), "allowed"),
        (packed(TEXT, len(TEXT) - 1), "instead"),
        (packed(TEXT, len(TEXT) + 1), "instead"),
        (packed(TEXT)[:-1], "instead"),
        (packed(TEXT)[:9], "instead"),
        (memoryview(struct.pack("!Q", 5) + b"noise that is no zlib"), "compression"),
        (memoryview(b"short"), "too short"),
    ],
)
def test_no_bomb_passes(body: memoryview, why: str) -> None:
    """A kilobyte may stand for a gigabyte: what is made of it is bounded by what it says."""
    with pytest.raises(FrameRejected, match=why):
        expand(body, Codec.ZLIB, 2**20)


def test_a_bomb_costs_no_memory() -> None:
    """It is not unpacked first and measured then."""
    import tracemalloc

    bomb = zlib.compress(bytes(200_000_000), 9)
    body = memoryview(struct.pack("!Q", 1000) + bomb)
    tracemalloc.start()
    try:
        with pytest.raises(FrameRejected, match="instead"):
            expand(body, Codec.ZLIB, 2**20)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_an_unknown_codec_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a newer peer; or of one that has the extra, where this one has not."""
    monkeypatch.setattr(compression, "_zstd", lambda: None)

    assert best() is Codec.ZLIB
    for codec in (Codec.ZSTD, 99):
        with pytest.raises(FrameRejected, match="not known here"):
            expand(packed(TEXT), codec, 2**20)
