"""Slowing down: in time, and without a flicker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.scheduling.throttle import (
    DEFAULTS,
    Threshold,
    Throttle,
    figures_of,
    room_under_pressure,
)


def test_begins_above_the_upper_and_ends_below_the_lower() -> None:
    """What lies between is the band that keeps a crowd from starting and stopping."""
    throttle = Throttle({"memory": Threshold(upper=0.9, lower=0.8)})

    seen = [throttle.update({"memory": value}) for value in (0.85, 0.9, 0.85, 0.8, 0.79, 0.85)]

    assert seen == [False, True, True, True, False, False]


def test_reasons_are_named() -> None:
    """Who is told to wait wants to know for what."""
    throttle = Throttle()
    throttle.update({"cpu": 1.0, "server_memory": 0.9, "memory": 0.1})

    assert throttle.reasons == ("cpu", "server_memory")


@given(st.floats(0.906, 0.974), st.lists(st.floats(-0.005, 0.005), max_size=50))
def test_noise_within_the_band_changes_nothing(level: float, noise: list[float]) -> None:
    """Figures jump from second to second; decisions must not."""
    throttle = Throttle()
    first = throttle.update({"cpu": level})

    assert all(throttle.update({"cpu": level + jump}) == first for jump in noise)


def test_missing_figures_are_low() -> None:
    """A server without a memory limit has no share of it in use."""
    throttle = Throttle()
    throttle.update(dict.fromkeys(DEFAULTS, 1000.0))

    assert throttle.update({}) is False


def test_band_must_have_a_width() -> None:
    """Without one there is no hysteresis."""
    with pytest.raises(ValueError, match="must be less than upper"):
        Threshold(upper=0.5, lower=0.5)


def test_figures_are_those_of_all_processors_and_of_the_fullest_memory() -> None:
    """A small idle node does not hide a large busy one; memory is not shared between machines."""
    small = {"processors": 2, "cpu": 0.0, "memory_limit": 100, "memory_available": 5}
    large = {"processors": 8, "cpu": 1.0, "memory_limit": 1000, "memory_available": 900}

    figures = figures_of([small, large, {}], backlog_seconds=7.0, server_memory=0.5)

    assert figures == {
        "cpu": pytest.approx(0.8),
        "memory": pytest.approx(0.95),
        "backlog_seconds": 7.0,
        "server_memory": 0.5,
    }
    assert figures.keys() == DEFAULTS.keys() == figures_of([]).keys()


@given(st.integers(1, 10_000), st.integers(0, 10_000))
def test_slowed_down_never_means_stopped(most: int, in_flight: int) -> None:
    """As many may follow as are in flight; one always may, and never more than without pressure."""
    room = room_under_pressure(most, in_flight)

    assert 1 <= room <= most
    assert room == max(1, in_flight) or room == most
