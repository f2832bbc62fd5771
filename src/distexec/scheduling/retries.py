"""Whether a call that failed runs again, and when."""

from collections.abc import Sequence
from typing import NamedTuple

from distexec.errors import NotPicklable, PayloadTooLarge, Reject, ResultUnpickleError

#: Seconds between two attempts at most, where they double.
LONGEST_PAUSE_SECONDS = 100.0

#: What no other attempt changes. The last one's call has even returned.
HOPELESS = (Reject, NotPicklable, PayloadTooLarge, ResultUnpickleError)


class RetryPolicy(NamedTuple):
    """What a caller asks for its failing calls."""

    #: Attempts after the first.
    retries: int = 0
    #: Exceptions after which to try again, and those of them after which not to.
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    dont_retry_on: tuple[type[BaseException], ...] = ()
    #: Seconds before the first retry, doubled each time; or before each, the last one repeated.
    backoff: float | Sequence[float] = 1.0
    #: Share of a pause by which it may be shorter or longer.
    jitter: float = 0.25


def pause_before_retry(
    policy: RetryPolicy, error: BaseException, *, failures: int, chance: float
) -> float | None:
    """Seconds until the next attempt; ``None`` if there is none.

    Args:
        error: What the last attempt raised.
        failures: Attempts that raised, the last one included.
        chance: A number from 0 to 1, by which jitter is decided: many calls that failed together
            must not come back together.
    """
    if failures > policy.retries or isinstance(error, (*HOPELESS, *policy.dont_retry_on)):
        return None
    if not isinstance(error, policy.retry_on):
        return None
    if isinstance(policy.backoff, Sequence):
        pause = policy.backoff[min(failures, len(policy.backoff)) - 1]
    else:
        # Not doubled further than needed: a large power is no float.
        longest = max(policy.backoff, LONGEST_PAUSE_SECONDS)
        pause = min(policy.backoff * 2.0 ** min(failures - 1, 64), longest)
    return pause * (1 + policy.jitter * (2 * chance - 1))
