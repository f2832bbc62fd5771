"""Calls and replies keep every bit, and their decoders survive every input."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.errors import FrameRejected
from distexec.wire.codec import decode_calls, decode_replies, encode_calls, encode_replies
from distexec.wire.records import Envelope, Reply, ReplyKind

numbers = st.integers(0, 2**64 - 1)
small = st.integers(0, 2**16 - 1)
payloads = st.binary(max_size=40)
seconds = st.floats(allow_nan=False)
digests = st.binary(min_size=16, max_size=16)
calls = st.builds(Envelope, numbers, digests, small, small, payloads, seconds)
replies = st.builds(Reply, numbers, st.sampled_from(ReplyKind), small, seconds, seconds, payloads)


@given(st.lists(calls, max_size=8))
def test_calls_come_back_as_they_were(batch: list[Envelope]) -> None:
    """Numbers, flags and payloads of a whole batch, in its order."""
    assert decode_calls(b"".join(encode_calls(batch))) == batch


@given(st.lists(replies, max_size=8))
def test_replies_come_back_as_they_were(batch: list[Reply]) -> None:
    """Kinds, times and payloads of a whole batch, in its order."""
    assert decode_replies(b"".join(encode_replies(batch))) == batch


def test_payloads_are_slices() -> None:
    """A hundred megabytes are not copied to be taken out of their frame."""
    body = b"".join(encode_calls([Envelope(1, b"f" * 16, 1, 0, b"payload")]))

    (call,) = decode_calls(memoryview(body))

    assert isinstance(call.payload, memoryview)
    assert call.payload.obj is body
    assert encode_calls([call])[-1] is call.payload


@given(st.lists(calls, min_size=1, max_size=3), st.lists(replies, min_size=1, max_size=3))
def test_every_truncation_and_extension_is_refused(
    some_calls: list[Envelope], some_replies: list[Reply]
) -> None:
    """A body is read to its last byte or not at all: no call is made up from half of one."""
    for decode, body in (
        (decode_calls, b"".join(encode_calls(some_calls))),
        (decode_replies, b"".join(encode_replies(some_replies))),
    ):
        for damaged in (*(body[:size] for size in range(len(body))), body + b"\0"):
            with pytest.raises(FrameRejected):
                decode(damaged)


@given(st.binary(max_size=120), st.integers(0, 3))
def test_noise_is_refused_and_nothing_else(noise: bytes, count: int) -> None:
    """Only `FrameRejected` may come out: the reader's thread has no other handler."""
    for body in (noise, count.to_bytes(4, "big") + noise):
        for decode in (decode_calls, decode_replies):
            try:
                decode(body)
            except FrameRejected:
                continue


def test_enormous_lengths_are_refused() -> None:
    """A length near 2**64 neither overflows an offset nor reserves memory."""
    body = bytearray(b"".join(encode_calls([Envelope(1, b"f" * 16, 1, 0, b"")])) * 2)
    body[4 + 28 : 4 + 36] = b"\xff" * 8
    body[:4] = b"\0\0\0\2"

    with pytest.raises(FrameRejected):
        decode_calls(bytes(body))


def test_an_unknown_kind_of_reply_is_refused() -> None:
    """It would be settled as something that it is not."""
    body = b"".join(encode_replies([Reply(1, 99, 1, 0.0, 0.0, b"")]))

    with pytest.raises(FrameRejected, match="kind 99"):
        decode_replies(body)


def test_a_wrong_function_id_is_not_padded() -> None:
    """struct would fill it up with zeros, and the worker would miss the function for ever."""
    with pytest.raises(ValueError, match="16 bytes"):
        encode_calls([Envelope(1, b"short", 1, 0, b"")])


def test_times_that_are_not_numbers_pass() -> None:
    """The codec carries what it is given; judging it is the window's job."""
    (reply,) = decode_replies(
        b"".join(encode_replies([Reply(1, ReplyKind.DONE, 1, math.nan, math.inf, b"")]))
    )

    assert math.isnan(reply.run_seconds) and reply.cpu_seconds == math.inf
