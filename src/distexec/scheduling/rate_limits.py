"""Rate limits: so many calls in a time, smoothly, for everybody who shares a key.

The generic cell rate algorithm (ITU-T I.371): the next call may go at an instant that each call
moves on by one interval. One number a key is all that must be kept. `store/lua/grant.lua` does the
same on the server, by its clock; this is its twin, and where limits are read.
"""

import re
from dataclasses import dataclass

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*/\s*([0-9]*)\s*(s|m|h|d)[a-z]*\s*")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """*count* calls in *seconds*."""

    count: float
    seconds: float

    @property
    def interval(self) -> float:
        """Seconds from one call to the next."""
        return self.seconds / self.count


def read_rate(text: str) -> RateLimit:
    """Read ``"100/m"``, ``"5/s"``, ``"1000/h"``, ``"10/30s"``.

    Raises:
        ValueError: It is nothing of the kind.
    """
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if found is None or not float(found[1]) or (found[2] and not int(found[2])):
        raise ValueError(
            f"a rate limit is written as '100/m' (calls per second, minute, hour or day) or "
            f"'10/30s', not {text!r}"
        )
    return RateLimit(float(found[1]), int(found[2] or 1) * _UNITS[found[3]])


@dataclass(frozen=True, slots=True)
class Grant:
    """How many calls may go now, and when to ask again."""

    count: int
    #: Seconds until the next one may go; 0 if all that were asked for may.
    wait: float
    #: The instant from which on the next one may go: what must be kept.
    next_at: float


def grant(next_at: float | None, now: float, limit: RateLimit, asked: int, burst: int = 1) -> Grant:
    """Let up to *asked* calls go.

    Args:
        next_at: As the last grant had it; ``None`` for the first.
        now: Seconds, by the same clock for everybody.
        burst: Calls that may go at once after a pause. With 1 there are never more than *count* in
            any half-open window of *seconds*.
    """
    at = now if next_at is None else max(next_at, now - (burst - 1) * limit.interval)
    count = 0
    while count < asked and at <= now:
        at += limit.interval
        count += 1
    return Grant(count, max(0.0, at - now) if count < asked else 0.0, at)
