"""How far a running call has come: told by its function, read from its future."""

import json
import math
import threading
import time
from typing import NamedTuple

from distexec.wire.records import Reply, ReplyKind
from distexec.worker import context

#: Seconds between two reports of a call that travel, at least: people see no more, and a loop that
#: reports each of its million steps must not notice.
REPORT_SECONDS = 0.1

#: Characters of a message that travel.
LONGEST_MESSAGE = 500


class Progress(NamedTuple):
    """A call's own word of how far it has come."""

    done: float
    #: What *done* will be at the end; ``None`` if the call does not know.
    total: float | None = None
    message: str = ""


class _Last(threading.local):
    #: Number and attempt of the call that told last.
    call: tuple[int, int] | None = None
    at: float = 0.0


_last = _Last()


def report_progress(done: float, total: float | None = None, message: str = "") -> None:
    """Tell the caller of the running call how far it is: see `Future.progress`.

    Costs about a microsecond, and a message ten times a second at most: the reports in between are
    dropped, but for the last one. Outside of calls it does nothing, so that the same function runs
    anywhere.

    Args:
        done: How much is done, in any unit.
        total: How much there is to do.
        message: Shown beside it.

    Raises:
        TypeError: *done* or *total* is not a number.
    """
    call, post = context.running.call, context.running.post
    for value in (done,) if total is None else (done, total):
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise TypeError(f"progress is told in finite numbers, not {value!r}")
    if call is None or post is None:
        return
    now = time.monotonic()
    is_last = total is not None and done >= total
    attempt = call.number, call.attempt
    if _last.call == attempt and now - _last.at < REPORT_SECONDS and not is_last:
        return
    _last.call, _last.at = attempt, now
    payload = json.dumps([done, total, str(message)[:LONGEST_MESSAGE]]).encode()
    post(Reply(call.number, ReplyKind.PROGRESS, call.attempt, 0.0, 0.0, payload))


def read_progress(payload: bytes | memoryview) -> Progress:
    """Read what `report_progress` sent."""
    return Progress(*json.loads(bytes(payload)))
