"""What becomes of a call whose attempt has ended: its future's outcome, or another attempt."""

import logging
import random
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from distexec.client.calls import PendingCall
from distexec.client.futures import Future
from distexec.client.letters import keep_letter
from distexec.client.settling import end
from distexec.scheduling.retries import pause_before_retry
from distexec.wire.culprit import describe_error
from distexec.wire.records import Reply
from distexec.worker.progress import read_progress

if TYPE_CHECKING:
    from distexec.client.channel import Channel

logger = logging.getLogger("concurrent.futures")

#: Our own: the program's may be seeded, and is not ours to draw from.
_chance = random.Random()

#: Characters of an exception that an attempt's story tells.
LONGEST_STORY = 300


def conclude(channel: "Channel", call: PendingCall, error: BaseException) -> int:
    """End an attempt that failed: let the call, which left its window, rest or settle it.

    Returns:
        How many futures are settled with that: see `settle`.
    """
    policy = call.limits.retry
    if policy is not None:
        failures = call.attempt - call.lost
        pause = pause_before_retry(policy, error, failures=failures, chance=_chance.random())
        if pause is not None:
            story = f"{describe_error(error)[:LONGEST_STORY]}; again after {pause:.3g} s"
            if channel.rest(call, time.monotonic() + pause, story):
                return 0
    keep_letter(channel, call, error)
    channel.counters.failed += 1
    call.drop_payload()
    return settle(channel, call.future, error=error)


def settle(
    channel: "Channel",
    future: Future[Any],
    *,
    result: Any = None,
    error: BaseException | None = None,
) -> int:
    """Give *future* its outcome.

    Returns:
        1 if it is settled with that; 0 if its callbacks run first, on a callback thread.
    """
    if not end(future, result=result, error=error):
        return 1
    channel.session.callbacks.add(lambda: _run_callbacks(channel, future))
    channel.session.look_soon()
    return 0


def report(channel: "Channel", call: PendingCall, reply: Reply) -> None:
    """Let a call's future know how far it has come; its callbacks run on a callback thread."""
    future = call.future
    if reply.attempt == call.attempt:
        future._progress = read_progress(reply.payload)
        for callback in future._progress_callbacks:
            channel.session.callbacks.add(partial(_call_back, callback, future))
            channel.session.look_soon()


def _call_back(callback: Callable[[Future[Any]], object], future: Future[Any]) -> None:
    try:
        callback(future)
    except Exception:
        # As the standard library does with done-callbacks.
        logger.exception("exception calling callback for %r", future)


def _run_callbacks(channel: "Channel", future: Future[Any]) -> None:
    try:
        future._invoke_callbacks()  # type: ignore[attr-defined]  # private to the stdlib's Future
    finally:
        channel.settled(1)
