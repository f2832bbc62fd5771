"""The places a frame can be signed for: a frame found anywhere else is refused.

Each function gives the context that `distexec.wire.seal.Seal` signs together with the body.
"""

import platform

#: Functions and arguments are pickled code objects, which only the same minor version can run.
PYTHON = ".".join(platform.python_version_tuple()[:2])


def call(session: str, executor: str, queue: str, entry: int) -> bytes:
    """A batch of calls: one entry of one call stream."""
    return f"call|{session}|{executor}|{queue}|{entry}".encode()


def reply(session: str) -> bytes:
    """Replies to one session."""
    return f"reply|{session}".encode()


def lost(session: str) -> bytes:
    """A node's word to one session that a lease ended with its process."""
    return f"lost|{session}".encode()


def spec(session: str, executor: str) -> bytes:
    """What leases must know of an executor."""
    return f"spec|{session}|{executor}".encode()


def function(session: str, executor: str, function_id: bytes) -> bytes:
    """A pickled function of an executor."""
    return f"function|{session}|{executor}|".encode() + function_id


def blob(session: str, name: bytes, digest: bytes, size: int, index: int) -> bytes:
    """A chunk of a large value or result that is kept beside the calls."""
    return f"blob|{session}|{name.hex()}|{digest.hex()}|{size}|{index}".encode()


def demand(queue: str, session: str, executor: str) -> bytes:
    """An executor's demand on a queue."""
    return f"demand|{queue}|{session}|{executor}".encode()


def wake_up(queue: str) -> bytes:
    """The Celery message that makes a slot look at a queue's demand."""
    return f"wake-up|{queue}".encode()


def node(name: str) -> bytes:
    """A node's record of itself."""
    return f"node|{name}".encode()


def letter_note(letter: str) -> bytes:
    """What a dead letter tells of itself."""
    return f"letter-note|{letter}".encode()


def letter_call(letter: str) -> bytes:
    """The call of a dead letter."""
    return f"letter-call|{letter}".encode()


def history(name: str) -> bytes:
    """A record of how long calls last."""
    return f"history|{name}".encode()


def answer(name: str) -> bytes:
    """What a session tells who asked."""
    return f"answer|{name}".encode()


def notice(session: str) -> bytes:
    """What an operator tells a session."""
    return f"notice|{session}".encode()


def command(name: str) -> bytes:
    """An order to a node."""
    return f"command|{name}".encode()
