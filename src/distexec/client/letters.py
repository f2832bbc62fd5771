"""Keeps calls that are given up, for a person to look at: dead letters."""

import logging
import os
import platform
import secrets
from typing import TYPE_CHECKING

from distexec.client.calls import PendingCall
from distexec.errors import ClusterError
from distexec.wire import places
from distexec.wire.culprit import describe_error
from distexec.wire.exceptions import pack_exception
from distexec.wire.letters import LetterCall, LetterNote, encode_call, encode_note
from distexec.wire.seal import Direction
from distexec.wire.values import pack_arguments, unpack_arguments

if TYPE_CHECKING:
    from distexec.client.channel import Channel

logger = logging.getLogger(__name__)

#: Characters of an error, and lines of a history, that a note tells.
LONGEST_ERROR = 1000
MOST_LINES = 100


def keep_letter(channel: "Channel", call: PendingCall, error: BaseException) -> None:
    """Keep *call*, which ended with *error*, if its options ask for it; the error says so."""
    if call.limits.dead_letter is None:
        return
    letter = call.limits.dead_letter or secrets.token_hex(6)
    try:
        note, content = _note_of(call, error), _content_of(call, error)
        seal = channel.session.seal
        channel.session.store.letters.keep(
            letter,
            seal.seal(Direction.STORED, places.letter_note(letter), encode_note(note)),
            seal.seal(Direction.STORED, places.letter_call(letter), encode_call(content)),
        )
    except Exception as problem:
        # Whatever it is, the call has ended, and its future must.
        if not isinstance(problem, ClusterError):
            logger.error("A dead letter of %s was not kept", call.label, exc_info=problem)
        error.add_note(f"distexec could not keep it as a dead letter: {describe_error(problem)}")
    else:
        error.add_note(f"kept as dead letter {letter}: see `distexec dead show {letter}`")


def _note_of(call: PendingCall, error: BaseException) -> LetterNote:
    text = describe_error(error)[:LONGEST_ERROR]
    return LetterNote(
        label=call.label,
        queue=call.queue,
        error=text,
        attempts=(*call.stories, text)[-MOST_LINES:],
        caller=f"{platform.node()}, process {os.getpid()}",
        python=places.PYTHON,
        timeout=call.limits.timeout,
        at_most_once=call.limits.at_most_once,
    )


def _content_of(call: PendingCall, error: BaseException) -> LetterCall:
    payload = call.payload
    if call.values:
        # What is large travels beside the call, and goes with this session: put it back inside.
        values = {value.ref.name: value for value in call.values}
        payload = pack_arguments(
            *unpack_arguments(payload, lambda ref: memoryview(values[ref.name].checked()))
        )
    return LetterCall(call.function[1], payload, pack_exception(error))
