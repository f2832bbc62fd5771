"""Limits of time, rate and number, and retries, as they are given to `options`."""

import math
from collections.abc import Sequence
from typing import Any

from distexec.client.calls import Limits, PermitRule, RateRule
from distexec.scheduling.rate_limits import read_rate
from distexec.scheduling.retries import RetryPolicy
from distexec.wire.records import CallFlag

#: An exception class, or a tuple of them, as `except` takes.
Kinds = type[BaseException] | tuple[type[BaseException], ...]

#: More is a mistake: a call that fails so often fails always.
MOST_RETRIES = 1000

#: What a person may want to read.
MOST_KEY_CHARACTERS = 200

#: Names of the options that are told here.
OPTIONS = (
    "timeout",
    "retries",
    "retry_on",
    "dont_retry_on",
    "backoff",
    "jitter",
    "at_most_once",
    "dead_letter",
    "rate_limit",
    "rate_key",
    "max_concurrency",
    "key",
)


def change_limits(
    limits: Limits,
    *,
    timeout: float | None,
    retries: int | None,
    retry_on: Kinds | None,
    dont_retry_on: Kinds | None,
    backoff: float | Sequence[float] | None,
    jitter: float | None,
    at_most_once: bool | None,
    dead_letter: bool | None,
    rate_limit: str | float | None,
    rate_key: str | None,
    max_concurrency: float | None,
    key: str | None,
) -> Limits:
    """Return *limits* with those changed that are not ``None``.

    Raises:
        TypeError: One is of another type.
        ValueError: One is out of range, or two contradict each other.
    """
    if timeout is not None:
        limits = limits._replace(timeout=_checked_timeout(timeout))
    if at_most_once is not None:
        limits = limits._replace(at_most_once=_checked_flag("at_most_once", at_most_once))
    if dead_letter is not None:
        is_kept = _checked_flag("dead_letter", dead_letter)
        limits = limits._replace(dead_letter="" if is_kept else None)
    limits = limits._replace(
        rate=_changed_rate(limits.rate, rate_limit, rate_key),
        permit=_changed_permit(limits.permit, max_concurrency, key),
    )
    changes: dict[str, Any] = {}
    if retries is not None:
        changes["retries"] = _checked_retries(retries)
    if retry_on is not None:
        changes["retry_on"] = _checked_kinds("retry_on", retry_on)
    if dont_retry_on is not None:
        changes["dont_retry_on"] = _checked_kinds("dont_retry_on", dont_retry_on)
    if backoff is not None:
        changes["backoff"] = _checked_backoff(backoff)
    if jitter is not None:
        changes["jitter"] = _checked_number("jitter", jitter, most=1)
    if changes:
        if limits.retry is None and "retries" not in changes:
            raise ValueError(
                f"{next(iter(changes))} says how to retry: give retries= as well, as in "
                "options(retries=3, retry_on=ConnectionError)"
            )
        limits = limits._replace(retry=(limits.retry or RetryPolicy())._replace(**changes))
    if limits.at_most_once and limits.retry is not None and limits.retry.retries:
        raise ValueError(
            "at_most_once=True and retries contradict each other: a call that is retried runs more "
            "than once"
        )
    alone = CallFlag.ALONE if limits.timeout or limits.at_most_once else CallFlag.NONE
    return limits._replace(flags=int(alone))


def _changed_rate(
    rate: RateRule | None, limit: str | float | None, key: str | None
) -> RateRule | None:
    """As the options say; infinity takes a limit away."""
    key = _checked_key("rate_key", key) or (rate and rate.key)
    if limit is None:
        if rate is None and key is not None:
            raise ValueError(
                "rate_key names a rate limit: give rate_limit= as well, as in "
                "options(rate_limit='100/m', rate_key='llm-api')"
            )
        return rate and rate._replace(key=key)
    if limit == math.inf:
        return None
    return RateRule(read_rate(limit).interval, key)  # type: ignore[arg-type]  # It checks that.


def _changed_permit(
    permit: PermitRule | None, most: float | None, key: str | None
) -> PermitRule | None:
    """As the options say; infinity takes a limit away."""
    key = _checked_key("key", key) or (permit and permit.key)
    if most is None:
        if permit is None and key is not None:
            raise ValueError(
                "key names a concurrency limit: give max_concurrency= as well, as in "
                "options(max_concurrency=3, key='database')"
            )
        return permit and permit._replace(key=key)
    if most == math.inf:
        return None
    if not isinstance(most, int) or isinstance(most, bool):
        raise TypeError(f"max_concurrency must be a whole number or math.inf, not {most!r}")
    if most < 1:
        raise ValueError(f"max_concurrency must be 1 or more, not {most}: else no call ever runs")
    return PermitRule(most, key)


def _checked_key(name: str, key: object) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str):
        raise TypeError(f"{name} must be a text, not {key!r}")
    if not (0 < len(key) <= MOST_KEY_CHARACTERS and key.isprintable()):
        raise ValueError(
            f"{name} must have 1 to {MOST_KEY_CHARACTERS} printable characters: it is part of the "
            f"name of a key on the server, for all to read there"
        )
    return key


def _checked_timeout(timeout: object) -> float:
    """Seconds; 0 for no limit."""
    number = _checked_number("timeout", timeout, hint="seconds, or math.inf for no limit")
    if number == 0:
        raise ValueError("timeout must be greater than 0: no call ends in no time")
    return 0.0 if math.isinf(number) else number


def _checked_number(
    name: str, value: object, *, most: float = math.inf, hint: str = "a number"
) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be {hint}, not {value!r}")
    if not 0 <= value <= most:
        span = "0 or more" if math.isinf(most) else f"from 0 to {most:g}"
        raise ValueError(f"{name} must be {span}, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large: {value!r}"[:200]) from None


def _checked_retries(retries: object) -> int:
    if not isinstance(retries, int) or isinstance(retries, bool):
        raise TypeError(f"retries must be a whole number, not {retries!r}")
    if not 0 <= retries <= MOST_RETRIES:
        raise ValueError(f"retries must be from 0 to {MOST_RETRIES}, not {retries}")
    return retries


def _checked_kinds(name: str, kinds: object) -> tuple[type[BaseException], ...]:
    found = kinds if isinstance(kinds, tuple | list) else (kinds,)
    for kind in found:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"{name} takes an exception class or a tuple of them, not {kind!r}")
    return tuple(found)


def _checked_backoff(backoff: object) -> float | tuple[float, ...]:
    if isinstance(backoff, tuple | list):
        if not backoff:
            raise ValueError("backoff needs at least one pause, as in backoff=[1, 5, 30]")
        return tuple(_checked_pause(pause) for pause in backoff)
    return _checked_pause(backoff)


def _checked_pause(pause: object) -> float:
    seconds = _checked_number("backoff", pause, hint="seconds, or a list of them")
    if math.isinf(seconds):
        raise ValueError("backoff must be finite: a retry that never comes is none")
    return seconds


def _checked_flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value
