"""Calls and replies as bytes: fixed headers and payloads, one after the other.

No pickle and no JSON: a frame is taken apart before anybody knows what its payloads are. Payloads
are never copied: encoding gives parts for `distexec.wire.seal.Seal.seal` to join, decoding gives
slices of the frame. Integers are in network byte order::

    calls    count (4), and then for each
             number (8) | function id (16) | attempt (2) | flags (2) | timeout (8)
             | length (8) | payload
    replies  count (4), and then for each
             number (8) | kind (1) | attempt (2) | run (8) | cpu (8) | length (8) | payload

Measured with timeit, Python 3.11 on a 2-core virtual machine, batches of 32 payloads of 60 bytes,
per record: 0.25 us to encode and 0.8 us to decode.
"""

import struct
from collections.abc import Sequence

from distexec.errors import FrameRejected
from distexec.wire.records import Envelope, Reply, ReplyKind, record

_COUNT = struct.Struct("!I")
_CALL = struct.Struct("!Q16sHHdQ")
_REPLY = struct.Struct("!QBHddQ")

FUNCTION_ID_SIZE = 16

_REPLY_KINDS = frozenset(map(int, ReplyKind))

Parts = list[bytes | memoryview]


def encode_calls(calls: Sequence[Envelope]) -> Parts:
    """Return the parts of one batch's body.

    Raises:
        ValueError: A function id has another size; the digest of another kind of pickle, maybe.
        struct.error: A number does not fit its field.
    """
    parts: Parts = [_COUNT.pack(len(calls))]
    for number, function_id, attempt, flags, payload, timeout in calls:
        # struct would pad or cut it without a word.
        if len(function_id) != FUNCTION_ID_SIZE:
            raise ValueError(f"a function id has {FUNCTION_ID_SIZE} bytes, not {len(function_id)}")
        parts.append(_CALL.pack(number, function_id, attempt, flags, timeout, len(payload)))
        parts.append(payload)
    return parts


def decode_calls(body: bytes | memoryview) -> list[Envelope]:
    """Read what `encode_calls` wrote; payloads are slices of *body*.

    Raises:
        FrameRejected: It is not such a body, to the last byte.
    """
    body = memoryview(body)
    calls = []
    start = _COUNT.size
    try:
        (count,) = _COUNT.unpack_from(body)
        for _ in range(count):
            number, function_id, attempt, flags, timeout, length = _CALL.unpack_from(body, start)
            start += _CALL.size
            payload = body[start : start + length]
            calls.append(record(Envelope, (number, function_id, attempt, flags, payload, timeout)))
            start += length
    except (struct.error, OverflowError) as error:
        raise FrameRejected(f"calls: {error}") from None
    if start != len(body):
        raise FrameRejected(f"calls: {len(body)} bytes instead of {start}")
    return calls


def encode_replies(replies: Sequence[Reply]) -> Parts:
    """Return the parts of one batch's body.

    Raises:
        struct.error: A number does not fit its field.
    """
    parts: Parts = [_COUNT.pack(len(replies))]
    for number, kind, attempt, run_seconds, cpu_seconds, payload in replies:
        parts.append(_REPLY.pack(number, kind, attempt, run_seconds, cpu_seconds, len(payload)))
        parts.append(payload)
    return parts


def decode_replies(body: bytes | memoryview) -> list[Reply]:
    """Read what `encode_replies` wrote; payloads are slices of *body*.

    Raises:
        FrameRejected: It is not such a body, to the last byte.
    """
    body = memoryview(body)
    replies = []
    start = _COUNT.size
    try:
        (count,) = _COUNT.unpack_from(body)
        for _ in range(count):
            number, kind, attempt, run, cpu, length = _REPLY.unpack_from(body, start)
            if kind not in _REPLY_KINDS:
                raise FrameRejected(f"replies: unknown kind {kind}")
            start += _REPLY.size
            payload = body[start : start + length]
            replies.append(record(Reply, (number, kind, attempt, run, cpu, payload)))
            start += length
    except (struct.error, OverflowError) as error:
        raise FrameRejected(f"replies: {error}") from None
    if start != len(body):
        raise FrameRejected(f"replies: {len(body)} bytes instead of {start}")
    return replies
