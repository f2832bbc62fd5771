"""Nothing is looked into that was not signed for the place it was found in."""

import hashlib
import hmac
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.errors import FrameRejected, SecretError
from distexec.wire.records import WIRE_VERSION
from distexec.wire.seal import OVERHEAD, Direction, Seal

SECRET = b"a secret of thirty-two bytes....."
OTHER = b"another secret of as many bytes.."
SEAL = Seal(SECRET)

contexts = st.binary(max_size=40)
directions = st.sampled_from(Direction)


@given(directions, contexts, st.binary(max_size=300))
def test_a_frame_opens_where_it_was_sealed_for(
    direction: Direction, context: bytes, body: bytes
) -> None:
    """Whatever the body is, it comes out as it went in, without a copy."""
    frame = SEAL.seal(direction, context, body)

    opened = SEAL.open(direction, context, frame)

    assert opened == body
    assert opened.obj is frame
    assert len(frame) == len(body) + OVERHEAD


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_parts_are_sealed_like_the_whole(parts: list[bytes]) -> None:
    """Batches are sealed part by part to save a copy; the reader cannot tell."""
    whole = b"".join(parts)

    assert SEAL.seal(Direction.CALL, b"c", parts) == SEAL.seal(Direction.CALL, b"c", whole)
    assert SEAL.seal(Direction.CALL, b"c", [memoryview(part) for part in parts]) == SEAL.seal(
        Direction.CALL, b"c", bytearray(whole)
    )


def test_every_flipped_bit_is_refused() -> None:
    """One bit in any byte, header and signature included, makes another frame of it."""
    frame = SEAL.seal(Direction.REPLY, b"stream", b"a small body")

    for position in range(len(frame)):
        for bit in range(8):
            damaged = bytearray(frame)
            damaged[position] ^= 1 << bit
            with pytest.raises(FrameRejected):
                SEAL.open(Direction.REPLY, b"stream", damaged)


def test_every_truncation_and_extension_is_refused() -> None:
    """A frame ends where its header says, to the byte."""
    frame = SEAL.seal(Direction.REPLY, b"stream", b"a small body")

    for size in range(len(frame)):
        with pytest.raises(FrameRejected):
            SEAL.open(Direction.REPLY, b"stream", frame[:size])
    with pytest.raises(FrameRejected, match="length"):
        SEAL.open(Direction.REPLY, b"stream", frame + b"\0")


@given(directions, directions, contexts, contexts, st.binary(max_size=60))
def test_a_frame_opens_nowhere_else(
    direction: Direction, other: Direction, context: bytes, place: bytes, body: bytes
) -> None:
    """A captured frame is worth nothing on another way, or at another place of the same way."""
    frame = SEAL.seal(direction, context, body)

    if (direction, context) == (other, place):
        assert SEAL.open(other, place, frame) == body
    else:
        with pytest.raises(FrameRejected, match="signature"):
            SEAL.open(other, place, frame)


def test_context_and_body_cannot_be_shifted() -> None:
    """The context's length is signed too: its end cannot be passed off as the frame's beginning."""
    frame = SEAL.seal(Direction.CALL, b"stream", b"body")

    with pytest.raises(FrameRejected):
        SEAL.open(Direction.CALL, b"strea", frame)
    with pytest.raises(FrameRejected):
        SEAL.open(Direction.CALL, b"stream" + frame[:1], frame)


@given(st.binary(max_size=200), directions)
def test_noise_is_refused_and_nothing_else(noise: bytes, direction: Direction) -> None:
    """Anybody may write to the server: every reader survives anything."""
    for frame in (noise, b"DX" + noise, SEAL.seal(direction, b"", noise)[:-1] + b"\0\0"):
        with pytest.raises(FrameRejected):
            SEAL.open(direction, b"", frame)


def test_the_error_names_the_check() -> None:
    """An operator must see whether a frame was damaged or came from a foreign cluster."""
    frame = SEAL.seal(Direction.CALL, b"", b"body")

    with pytest.raises(FrameRejected, match="magic"):
        SEAL.open(Direction.CALL, b"", b"XX" + frame[2:])
    with pytest.raises(FrameRejected, match=f"key id: signed with secret {SEAL.key_id.hex()}"):
        Seal(OTHER).open(Direction.CALL, b"", frame)


def test_another_version_is_refused_by_its_name() -> None:
    """A newer peer's frame is signed well and means something else."""
    frame = bytearray(SEAL.seal(Direction.CALL, b"", b"body"))
    frame[2] = WIRE_VERSION + 1
    key = hmac.digest(
        hmac.digest(b"distexec", SECRET, "sha256"), b"frame|CALL\x01", "sha256"
    )  # HKDF-SHA256, RFC 5869
    signed = struct.pack("!I", 0) + bytes(frame[:-32])
    frame[-32:] = hmac.digest(key, signed, hashlib.sha256)

    with pytest.raises(FrameRejected, match=f"version {WIRE_VERSION + 1}"):
        SEAL.open(Direction.CALL, b"", frame)


def test_a_secret_can_be_changed_without_a_pause() -> None:
    """During a rotation old frames open, and what we sign carries the new secret."""
    old, new = Seal(OTHER), Seal(SECRET, OTHER)

    assert new.open(Direction.STORED, b"", old.seal(Direction.STORED, b"", b"1")) == b"1"
    assert SEAL.open(Direction.STORED, b"", new.seal(Direction.STORED, b"", b"2")) == b"2"
    with pytest.raises(FrameRejected, match="key id"):
        old.open(Direction.STORED, b"", new.seal(Direction.STORED, b"", b"3"))


def test_the_secret_does_not_leak() -> None:
    """Reprs reach logs, and pickles reach other machines."""
    assert SECRET.decode() not in repr(SEAL) and SECRET.hex() not in repr(SEAL)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(SEAL)


def test_a_short_secret_is_refused() -> None:
    """A password of a few letters would be found by trying."""
    with pytest.raises(SecretError, match="keygen"):
        Seal(b"hunter2")
