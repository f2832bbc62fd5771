"""Rate limits: exact in every window, smooth, and used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.scheduling.rate_limits import RateLimit, grant, read_rate


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("100/m", RateLimit(100, 60)),
        ("5/s", RateLimit(5, 1)),
        ("0.5/s", RateLimit(0.5, 1)),
        (" 1000 / hour ", RateLimit(1000, 3600)),
        ("10/30s", RateLimit(10, 30)),
        ("1/d", RateLimit(1, 86400)),
    ],
)
def test_limits_are_read(text: str, limit: RateLimit) -> None:
    """As people and other libraries write them."""
    assert read_rate(text) == limit


@pytest.mark.parametrize("text", ["", "100", "/m", "100/", "0/s", "-1/s", "1/0s", "1/y", "a/m", 5])
def test_nonsense_is_refused(text: object) -> None:
    """A limit that is misread is no limit."""
    with pytest.raises(ValueError, match="written as '100/m'"):
        read_rate(text)  # type: ignore[arg-type]


@given(
    st.integers(1, 20),
    st.floats(0.1, 100),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 10)), min_size=1, max_size=60),
)
def test_no_window_has_more_than_the_limit(
    count: int, seconds: float, asks: list[tuple[float, int]]
) -> None:
    """However callers ask: in any half-open window of that length, at most so many were granted."""
    limit = RateLimit(count, seconds)
    next_at, now, granted = None, 1000.0, []
    for pause, asked in asks:
        now += pause
        given_now = grant(next_at, now, limit, asked)
        next_at = given_now.next_at
        granted += [now] * given_now.count

    for start in granted:
        end = start + seconds * (1 - 1e-9)
        assert sum(start <= at < end for at in granted) <= count


def test_who_waits_as_told_uses_all_of_it() -> None:
    """A limit costs what it must, and no more: a simulated minute of `100/m`."""
    limit, now, next_at, granted = read_rate("100/m"), 0.0, None, 0
    while now < 60.0:
        given_now = grant(next_at, now, limit, 1)
        next_at = given_now.next_at
        granted += given_now.count
        now += max(given_now.wait, 1e-9) if not given_now.count else 0.0

    assert granted == 100


def test_burst_after_a_pause() -> None:
    """With a burst of 5, five may go at once after a pause; then they come one by one."""
    limit = RateLimit(10, 1)

    first = grant(0.0, 100.0, limit, 8, burst=5)
    second = grant(first.next_at, 100.0, limit, 8, burst=5)

    assert (first.count, second.count) == (5, 0)
    assert second.wait == pytest.approx(0.1)
