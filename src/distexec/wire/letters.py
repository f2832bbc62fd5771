"""Dead letters as bytes: a note that anybody with the secret may read, and the call itself.

Both are sealed for their letter. Reading a note unpickles nothing, so that a list of letters can be
shown by a program that has none of their modules.
"""

import json
import struct
from typing import NamedTuple

from distexec.errors import FrameRejected

_LENGTHS = struct.Struct("!QQ")


class LetterNote(NamedTuple):
    """What is told about a call that was given up; JSON on the wire."""

    #: The function's name.
    label: str
    queue: str
    #: Type and text of what it ended with.
    error: str
    #: One line for each attempt, the last one included.
    attempts: tuple[str, ...]
    #: Host and process of the caller.
    caller: str
    #: Minor version of the Python that pickled it.
    python: str
    #: Seconds that an attempt was allowed to last; 0 for no limit.
    timeout: float
    at_most_once: bool


class LetterCall(NamedTuple):
    """The call, and the exception that it ended with: pickles, of which none is opened here."""

    function: bytes | memoryview
    payload: bytes | memoryview
    exception: bytes | memoryview


def encode_note(note: LetterNote) -> bytes:
    """Return the body of a note's frame."""
    return json.dumps(note._asdict()).encode()


def decode_note(body: bytes | memoryview) -> LetterNote:
    """Read what `encode_note` wrote.

    Raises:
        FrameRejected: It is no such body.
    """
    try:
        fields = json.loads(bytes(body))
        return LetterNote(**{**fields, "attempts": tuple(fields["attempts"])})
    except (ValueError, KeyError, TypeError) as error:
        raise FrameRejected(f"dead letter: {error}") from None


def encode_call(call: LetterCall) -> list[bytes | memoryview]:
    """Return the parts of a call's frame."""
    return [_LENGTHS.pack(len(call.function), len(call.payload)), *call]


def decode_call(body: bytes | memoryview) -> LetterCall:
    """Read what `encode_call` wrote; its fields are slices of *body*.

    Raises:
        FrameRejected: It is no such body.
    """
    body = memoryview(body)
    try:
        function, payload = _LENGTHS.unpack_from(body)
    except struct.error as error:
        raise FrameRejected(f"dead letter: {error}") from None
    start = _LENGTHS.size + function
    end = start + payload
    if end > len(body):
        raise FrameRejected(f"dead letter: {len(body)} bytes, and more are announced")
    return LetterCall(body[_LENGTHS.size : start], body[start:end], body[end:])
