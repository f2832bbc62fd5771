"""What becomes of a call whose attempt has ended: its future's outcome, or another attempt."""

import random
import time
from typing import TYPE_CHECKING, Any

from distexec.client.calls import PendingCall
from distexec.client.futures import Future
from distexec.scheduling.retries import pause_before_retry
from distexec.wire.culprit import describe_error

if TYPE_CHECKING:
    from distexec.client.channel import Channel

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
        pause = pause_before_retry(policy, error, failures=failures, chance=random.random())
        if pause is not None:
            story = f"{describe_error(error)[:LONGEST_STORY]}; again after {pause:.3g} s"
            if channel.rest(call, time.monotonic() + pause, story):
                return 0
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
    if not future._settle(result=result, error=error):
        return 1
    channel.session.callbacks.add(lambda: _run_callbacks(channel, future))
    channel.session.look_soon()
    return 0


def _run_callbacks(channel: "Channel", future: Future[Any]) -> None:
    try:
        future._run_callbacks_here()
    finally:
        channel.settled(1)
