"""Rate limits: so many calls in a time, smoothly, for everybody who shares a key.

The generic cell rate algorithm (ITU-T I.371), with a burst of one: each call has an instant of its
own, and the next one's is an interval later. One number a key is all that must be kept. Who asks
gets the next instants, and waits for them where it costs nobody a slot.

``store/lua/grant.lua`` does the same on the server, by its clock. Instants and intervals are whole
microseconds: they are added up for ever, and compared exactly.
"""

import math
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

MICROSECONDS: Final = 1_000_000

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*/\s*([0-9]*)\s*(s|m|h|d)[a-z]*\s*")

#: Calls in a second at most. What is faster is no limit in practice, and rounding an interval up to
#: a whole microsecond would cost more than a hundredth of it.
MOST_PER_SECOND: Final = 10_000

#: Microseconds that instants are given ahead, to one who asks for several: a trip to the server for
#: so much work, and so little to lose if the caller ends.
HORIZON: Final = MICROSECONDS // 4

#: Instants that may be given ahead altogether. What is further off is nobody's doing but an
#: intruder's, or that of a clock that ran ahead, and would stop everybody.
MOST_AHEAD: Final = 100_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """*count* calls in *seconds*."""

    count: float
    seconds: float

    @property
    def interval(self) -> int:
        """Microseconds from one call to the next, rounded up: a limit is never exceeded."""
        return math.ceil(self.seconds * MICROSECONDS / self.count)


def read_rate(text: str) -> RateLimit:
    """Read ``"100/m"``, ``"5/s"``, ``"1000/h"``, ``"10/30s"``.

    Raises:
        TypeError: It is no text.
        ValueError: It is nothing of the kind, or too fast.
    """
    if not isinstance(text, str):
        raise TypeError(f"a rate limit is a text as '100/m', not {text!r}")
    found = _TEXT.fullmatch(text)
    if found is None or not float(found[1]) or (found[2] and not int(found[2])):
        raise ValueError(
            f"a rate limit is written as '100/m' (calls per s, m, h or d: second, minute, hour or "
            f"day) or '10/30s', with numbers above 0, not {text!r}"
        )
    limit = RateLimit(float(found[1]), int(found[2] or 1) * _UNITS[found[3]])
    if limit.count > MOST_PER_SECOND * limit.seconds:
        raise ValueError(
            f"a rate limit is at most {MOST_PER_SECOND} calls a second, not {text!r}: leave it out"
        )
    return limit


class RateState(NamedTuple):
    """What is kept of a limit."""

    #: The instant of the next call.
    next_at: int
    #: When somebody asked last, to notice a clock that was set back.
    seen_at: int


class Grants(NamedTuple):
    """Instants at which calls may go, an interval apart."""

    #: The server's clock when they were given.
    now: int
    first: int
    #: How many calls.
    calls: int


def grant(
    state: RateState | None,
    now: int,
    *,
    interval: int,
    asked: int,
    unused: tuple[int, int] = (0, 0),
) -> tuple[RateState, Grants]:
    """Give up to *asked* instants: the next one however far off, more of them within the horizon.

    Args:
        state: As the last one who asked left it; ``None`` before the first.
        unused: The instants from the first up to the second go back, if nobody has had later ones.
    """
    next_at, seen_at = state or (now, now)
    if unused[0] < unused[1] == next_at:
        next_at = unused[0]
    next_at -= max(0, seen_at - now)
    if not next_at <= now + MOST_AHEAD * interval:
        next_at = now
    first = max(next_at, now)
    count = min(asked, max(1, (now + HORIZON - first) // interval + 1))
    if count <= 0:
        return RateState(next_at, now), Grants(now, first, 0)
    return RateState(first + count * interval, now), Grants(now, first, count)
