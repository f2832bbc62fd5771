"""Rate limits: exact in every window, smooth, and used."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.scheduling.rate_limits import (
    HORIZON,
    MICROSECONDS,
    Grants,
    RateLimit,
    RateState,
    grant,
    read_rate,
)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("100/m", RateLimit(100, 60)),
        ("5/s", RateLimit(5, 1)),
        ("0.5/s", RateLimit(0.5, 1)),
        (" 1000 / hour ", RateLimit(1000, 3600)),
        ("10/30s", RateLimit(10, 30)),
        ("1/d", RateLimit(1, 86400)),
        ("10000/s", RateLimit(10_000, 1)),
    ],
)
def test_limits_are_read(text: str, limit: RateLimit) -> None:
    """As people and other libraries write them."""
    assert read_rate(text) == limit


@pytest.mark.parametrize("text", ["", "100", "/m", "100/", "0/s", "-1/s", "1/0s", "1/y", "a/m"])
def test_nonsense_is_refused(text: str) -> None:
    """A limit that is misread is no limit."""
    with pytest.raises(ValueError, match="written as '100/m'"):
        read_rate(text)


def test_what_no_clock_can_hold_is_refused() -> None:
    """Intervals are whole microseconds: rounded, a faster limit would be another one."""
    with pytest.raises(ValueError, match="at most 10000 calls a second"):
        read_rate("20000/s")
    with pytest.raises(TypeError, match="a text as '100/m'"):
        read_rate(5)  # type: ignore[arg-type]


def instants(grants: Grants, limit: RateLimit) -> list[int]:
    """The instants that were given."""
    return [grants.first + n * limit.interval for n in range(grants.calls)]


@given(
    st.integers(1, 20),
    st.floats(0.1, 100),
    st.lists(st.tuples(st.floats(-2, 5), st.integers(0, 30), st.booleans()), max_size=60),
)
def test_no_window_has_more_than_the_limit(
    count: int, seconds: float, asks: list[tuple[float, int, bool]]
) -> None:
    """However callers ask, and whatever they give back: in any half-open window at most so many.

    Also by a clock that is set back at times: what was given before is put off with it.
    """
    limit = RateLimit(count, seconds)
    state, now, given_out, last = None, 10**15, [], (0, 0)
    for pause, asked, gives_back in asks:
        step = round(pause * MICROSECONDS)
        now += step
        if step < 0:
            # Callers wait by their own clocks: seen from there, all instants move.
            given_out = [at + step for at in given_out]
            last = (0, 0)
        # What has not come yet is not used yet.
        to_come = [at for at in range(*last, limit.interval) if at > now]
        unused = (to_come[0], last[1]) if gives_back and to_come else (0, 0)
        state, grants = grant(state, now, interval=limit.interval, asked=asked, unused=unused)
        if unused[0] < unused[1] and (not grants.calls or grants.first <= unused[0]):
            given_out = [at for at in given_out if not unused[0] <= at < unused[1]]
        given_out += instants(grants, limit)
        last = (grants.first, grants.first + grants.calls * limit.interval)
        assert all(b - a >= limit.interval for a, b in pairwise(sorted(given_out)))

    window = seconds * MICROSECONDS
    given_out.sort()
    for start, later in zip(given_out, given_out[count:], strict=False):
        assert later - start >= window


@given(st.integers(1, 8), st.integers(0, 2**32))
def test_callers_who_share_a_limit_use_all_of_it(callers: int, seed: int) -> None:
    """A limit costs what it must, and no more: a simulated minute of `100/m`, fairly shared."""
    limit = read_rate("100/m")
    state, begin, used = None, 10**15, [0] * callers
    # Each has one instant ahead, and asks for the next when that has come.
    due = {caller: begin + (seed >> caller) % 1000 for caller in range(callers)}
    while min(due.values()) < begin + 60 * MICROSECONDS:
        caller = min(due, key=lambda each: due[each])
        now = due[caller]
        state, grants = grant(state, now, interval=limit.interval, asked=1)
        used[caller] += now >= begin and grants.first < begin + 60 * MICROSECONDS
        due[caller] = max(grants.first, now + 1)

    assert sum(used) == 100
    assert max(used) - min(used) <= 2


def test_one_trip_gives_several_within_the_horizon_and_one_beyond() -> None:
    """Trips are saved for fast limits; for slow ones nobody hoards what others wait for."""
    fast, slow = read_rate("1000/s"), read_rate("1/m")

    _, many = grant(None, 0, interval=fast.interval, asked=10_000)
    state, one = grant(None, 0, interval=slow.interval, asked=10)
    _, far = grant(state, 0, interval=slow.interval, asked=10)

    assert many.calls == HORIZON // fast.interval + 1
    assert (one.calls, far.calls, far.first) == (1, 1, 60 * MICROSECONDS)


def test_what_goes_back_is_given_to_the_next() -> None:
    """A call that was cancelled makes nobody wait an hour, unless somebody has come after it."""
    hour = read_rate("1/h").interval
    state, first = grant(None, 0, interval=hour, asked=1)
    state, second = grant(state, 0, interval=hour, asked=1)
    mine = (second.first, second.first + hour)

    freed, again = grant(state, 5, interval=hour, asked=1, unused=mine)
    _, late = grant(freed, 6, interval=hour, asked=1, unused=(first.first, first.first + hour))

    assert again.first == second.first == hour
    assert late.first == 2 * hour


def test_what_an_intruder_writes_does_not_last() -> None:
    """An instant in a thousand years would stop everybody for good."""
    _, grants = grant(RateState(10**18, 0), 10**15, interval=1000, asked=1)

    assert grants.first == 10**15
