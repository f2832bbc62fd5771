"""Which calls are foreseen to end, and how often a lease asks for the next one before."""

import itertools

import pytest

from distexec.scheduling.ahead import LONGEST_REST, Tries, expected_seconds, most_threads
from distexec.scheduling.run_times import RunTime, RunTimes


def known(
    mean: float = 0.01, deviation: float = 0.0002, cpu: float = 0.0001, count: int = 100
) -> RunTime:
    return RunTime(mean, deviation, cpu, count)


def test_the_end_of_calls_that_are_alike_is_foreseen() -> None:
    """A little early rather than late: one that took longer than all others does not count much."""
    assert expected_seconds(known()) == pytest.approx(0.0098)
    assert expected_seconds(known(mean=2.0)) == pytest.approx(1.9998)


def test_three_calls_tell_that_they_are_alike() -> None:
    """Every lease that comes begins anew; the first deviation is a guess, and must not count."""
    run_times = RunTimes()
    found = []
    for seconds in (0.0101, 0.0101, 0.0102, 0.0101):
        run_times.add(b"function", seconds, 0.0001)
        found.append(expected_seconds(run_times.get(b"function")))

    assert found[:2] == [None, None]
    assert found[2:] == pytest.approx([0.0101, 0.0101], rel=0.02)


def test_three_calls_tell_that_they_are_not() -> None:
    """Half as long again is no deviation that a reservation could bridge."""
    run_times = RunTimes()
    for seconds in (0.010, 0.015, 0.010):
        run_times.add(b"function", seconds, 0.0001)

    assert expected_seconds(run_times.get(b"function")) is None


@pytest.mark.parametrize(
    "run_time",
    [
        None,
        known(count=2),
        known(deviation=0.002),
        known(cpu=0.009),
        known(mean=0.001, deviation=0.0),
    ],
    ids=["unknown", "seldom seen", "unsteady", "computing", "short"],
)
def test_the_end_of_others_is_not(run_time: RunTime | None) -> None:
    """A wrong guess keeps others waiting, and who computes could not answer for the last call."""
    assert expected_seconds(run_time) is None


def test_longer_calls_leave_time_for_more() -> None:
    """As many calls of 10 ms at a time as fall into step, twice as many of 20."""
    assert [most_threads(seconds) for seconds in (0.0098, 0.02, 0.1)] == [4, 10, 50]


def test_who_is_refused_again_and_again_asks_less_often() -> None:
    """It costs a trip, and there may be a reason that stays."""
    tries = Tries()
    asked = []
    for call in range(500):
        if tries.is_time():
            asked.append(call)
            tries.note(granted=False)
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert gaps[:6] == [1, 1, 1, 2, 4, 8]
    assert max(gaps) == LONGEST_REST + 1

    tries.note(granted=True)
    assert tries.is_time()
