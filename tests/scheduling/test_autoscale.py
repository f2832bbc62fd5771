"""How many slots a node goes for, as time goes by."""

from hypothesis import given
from hypothesis import strategies as st

from distexec.scheduling.autoscale import MEMORY_SECONDS, Autoscale


def test_grows_at_once_and_shrinks_when_nobody_wanted_them_for_a_while() -> None:
    """A burst is served now; the next one shall not have to wait for the same slots again."""
    scale = Autoscale(1, 8)

    assert scale.decide(busy=0, unmet=0, now=0.0) == 1
    assert scale.decide(busy=1, unmet=4, now=1.0) == 5
    assert scale.decide(busy=2, unmet=0, now=1.0 + MEMORY_SECONDS) == 5
    assert scale.decide(busy=1, unmet=0, now=2.0 + MEMORY_SECONDS) == 2
    assert scale.decide(busy=1, unmet=0, now=2.0 + 2 * MEMORY_SECONDS) == 1


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=50))
def test_stays_within_its_bounds_and_covers_what_is_busy(
    looks: list[tuple[int, int]],
) -> None:
    """Whatever is asked: never more than allowed, never fewer than work, never in doubt."""
    scale = Autoscale(2, 10)

    for second, (busy, unmet) in enumerate(looks):
        slots = scale.decide(busy=busy, unmet=unmet, now=float(second))

        assert 2 <= slots <= 10
        assert slots >= min(busy + unmet, 10)
        assert slots <= max(2, max(sum(look) for look in looks[: second + 1]))
