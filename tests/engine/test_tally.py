"""What a node's slots ran, counted in memory that they share with the node."""

import os

import pytest

from distexec.engine.tally import RateMeter, Tallies
from distexec.scheduling.histogram import BUCKETS, WORDS


def test_children_count_where_the_node_looks() -> None:
    """No message and no lock per call: the node reads what its children wrote."""
    tallies = Tallies()
    for index in (0, 2):
        child = os.fork()
        if child == 0:
            tallies.of_slot(index).add(0.1, index + 1)
            os._exit(0)
        os.waitpid(child, 0)

    assert sum(tallies.total()[:BUCKETS]) == 4


def test_heir_of_a_slot_goes_on_counting() -> None:
    """A child that was replaced did work: rates must not fall below zero at its death."""
    tallies = Tallies()
    tallies.of_slot(1).add(0.1)

    tallies.of_slot(1).add(0.1)

    assert sum(tallies.total()[:BUCKETS]) == 2


def test_slots_without_a_cell_harm_nobody() -> None:
    """A node of thousands of slots runs; the last of them are not counted."""
    tallies = Tallies()

    tallies.of_slot(1_000_000).add(0.1)

    assert sum(tallies.total()[:BUCKETS]) == 0


def test_rates_tell_of_the_last_seconds() -> None:
    """What ran in the morning says nothing about now."""
    counts = [0] * WORDS
    meter = RateMeter(counts, 0.0)
    for second in range(1, 201):
        counts = counts.copy()
        counts[40 if second <= 100 else 60] += 8 if second <= 100 else 2
        rates = meter.read(counts, float(second))
        if second == 100:
            assert rates.calls_per_second == pytest.approx(8.0)
            early = rates.run_p50

    assert rates.calls_per_second == pytest.approx(2.0)
    assert early is not None
    assert rates.run_p50 is not None
    assert rates.run_p50 / early == pytest.approx(32.0)
    assert rates.run_p95 == rates.run_p50


def test_rate_over_a_long_silence_is_their_mean() -> None:
    """The server was away for two minutes: what ran meanwhile is spread over them."""
    meter = RateMeter([0] * WORDS, 0.0)

    rates = meter.read([120] + [0] * (WORDS - 1), 120.0)

    assert rates.calls_per_second == pytest.approx(1.0)
