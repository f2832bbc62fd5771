"""Counts of durations, from which rates and quantiles are told."""

from itertools import pairwise

import pytest

from distexec.scheduling.histogram import BUCKETS, WORDS, Histogram, bound, bucket, quantile


@pytest.mark.parametrize("seconds", [2e-5, 0.00123, 0.25, 1.0, 3.7, 60.0, 4000.0])
def test_quantile_is_within_a_tenth(seconds: float) -> None:
    """Four buckets to a doubling: nobody decides by less than a tenth of a run time."""
    histogram = Histogram()
    histogram.add(seconds, 19)
    histogram.add(seconds / 100)

    assert quantile(histogram.words, 0.5) == pytest.approx(seconds, rel=0.1)


def test_buckets_follow_each_other() -> None:
    """Every duration has one bucket, below its bound and not below the one before."""
    bounds = [bound(index) for index in range(BUCKETS)]

    assert all(low < high for low, high in pairwise(bounds))
    assert all(bucket(each * 1.001) == min(n + 1, BUCKETS - 1) for n, each in enumerate(bounds))
    assert all(bucket(each * 0.999) == n for n, each in enumerate(bounds))


def test_what_is_too_short_or_too_long_is_counted_at_the_ends() -> None:
    """A clock that shows no difference, and a call of a day, are calls too."""
    histogram = Histogram()

    for seconds in (0.0, 1e-9, 86400.0):
        histogram.add(seconds)

    assert histogram.words[0] == 2
    assert histogram.words[BUCKETS - 1] == 1


def test_short_calls_of_a_kind_are_counted_together() -> None:
    """Looking at each would cost as much as the shortest calls do."""
    histogram = Histogram()

    histogram.add_mean([0.001, 0.003])
    histogram.add_mean([])

    assert histogram.words[bucket(0.002)] == histogram.total == 2


def test_nothing_has_no_quantile() -> None:
    """A node that ran nothing does not claim that calls take no time."""
    assert quantile([0] * WORDS, 0.5) is None
