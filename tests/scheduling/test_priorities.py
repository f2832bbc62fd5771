"""How urgent calls are, and whose turn it is: the higher first, bounded, and nobody starves."""

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from distexec.scheduling.priorities import (
    AGE_SECONDS,
    SHARE,
    Effective,
    Head,
    Priority,
    Turns,
    effective,
)

PRIORITIES = st.integers(0, 9)
SECONDS = st.floats(0, 1e6)
FIGURES = {
    "backlog_seconds": SECONDS,
    "run_seconds": st.none() | SECONDS,
    "size": st.integers(0, 1 << 32),
}


@given(PRIORITIES, SECONDS, st.fixed_dictionaries(FIGURES))
def test_a_name_keeps_its_meaning(base: int, waited: float, figures: dict[str, float]) -> None:
    """Nothing becomes urgent by waiting or by being short, and what is urgent stays so."""
    found = effective(base, waited=waited, **figures)  # type: ignore[arg-type]

    assert (found.value == Priority.URGENT) == (base == Priority.URGENT)
    assert 0 <= found.value <= 9
    assert abs(found.crowd) <= 1
    assert base - 1 <= found.value <= max(base, Priority.HIGH)
    assert bool(found.reasons()) == (found.age != 0 or found.crowd != 0)


@given(PRIORITIES, SECONDS, SECONDS, st.fixed_dictionaries(FIGURES))
def test_waiting_never_makes_less_urgent(
    base: int, one: float, other: float, figures: dict[str, float]
) -> None:
    """Else a call could be overtaken again by what it waited for."""
    shorter, longer = sorted((one, other))
    first = effective(base, waited=shorter, **figures)  # type: ignore[arg-type]
    second = effective(base, waited=longer, **figures)  # type: ignore[arg-type]

    assert second.value >= first.value


def test_a_call_rises_with_its_age() -> None:
    """By one for each ten seconds, up to HIGH; and it says why."""
    ages = [effective(Priority.LOW, waited=n * AGE_SECONDS).value for n in range(8)]

    assert ages == [3, 4, 5, 6, 7, 8, 8, 8]
    assert effective(Priority.LOW, waited=25.0).reasons() == ("+2 for waiting",)


def test_a_crowd_prefers_the_short_a_little() -> None:
    """A call of a millisecond before a minute of others is nearly free; a long one can wait."""
    crowd = {"waited": 0.0, "backlog_seconds": 10.0}

    assert effective(5, run_seconds=0.001, **crowd) == Effective(6, 5, 0, 1)
    assert effective(5, run_seconds=20.0, **crowd) == Effective(4, 5, 0, -1)
    assert effective(5, size=1 << 30, **crowd) == Effective(4, 5, 0, -1)
    assert effective(5, run_seconds=1.0, **crowd) == Effective(5, 5)
    assert effective(5, run_seconds=20.0, waited=0.0) == Effective(5, 5), "no crowd, no change"


def play(arrivals: list[tuple[int, int]], sends: int) -> list[int]:
    """Send calls one by one from lines by priority; return what went, by number.

    Args:
        arrivals: Before which sending a call of which priority comes.
    """
    turns, lines = Turns(), {priority: [] for priority in range(10)}  # type: ignore[var-annotated]
    coming = sorted(arrivals)
    numbers, sent = itertools.count(), []
    for step in range(sends):
        while coming and coming[0][0] <= step:
            lines[coming.pop(0)[1]].append(next(numbers))
        heads = [Head(priority, line[0]) for priority, line in lines.items() if line]
        if heads:
            chosen, by_share = turns.choose(heads)
            turns.note(heads, chosen, 1, by_share=by_share)
            sent.append(lines[heads[chosen].priority].pop(0))
    return sent


@given(st.lists(st.tuples(st.integers(0, 60), PRIORITIES), max_size=60))
def test_every_call_goes_once_and_its_equals_keep_their_order(
    arrivals: list[tuple[int, int]],
) -> None:
    """Whatever comes when."""
    sent = play(arrivals, 200)

    numbered = enumerate(priority for _, priority in sorted(arrivals))
    by_priority: dict[int, list[int]] = {}
    for number, priority in numbered:
        by_priority.setdefault(priority, []).append(number)
    assert sorted(sent) == list(range(len(arrivals)))
    for numbers in by_priority.values():
        places = [sent.index(number) for number in numbers]
        assert places == sorted(places)


@given(st.integers(0, 20), PRIORITIES)
@hypothesis_settings(max_examples=50)
def test_nobody_starves(older: int, priority: int) -> None:
    """A call with n older ones is at most the 10 (n + 1)th to go, whatever urgent work comes."""
    arrivals = [(0, priority)] * (older + 1) + [(step, Priority.URGENT) for step in range(500)]

    sent = play(arrivals, 400)

    assert sent.index(older) < SHARE * (older + 1)


def test_the_low_keep_their_share_and_no_more() -> None:
    """A flood of urgent work and a flood of low: one call of ten is low."""
    arrivals = [(0, Priority.BACKGROUND)] * 200 + [(0, Priority.URGENT)] * 2000

    sent = play(arrivals, 1000)

    assert Counter(number < 200 for number in sent) == {True: 100, False: 900}
    assert sent[0] >= 200, "the urgent begin"


def test_alone_everybody_goes_at_once() -> None:
    """The share is for rivals: it neither holds back nor saves up."""
    turns = Turns()
    for _ in range(50):
        heads = [Head(Priority.LOW, 1), Head(Priority.LOW, 2)]
        chosen, by_share = turns.choose(heads)
        turns.note(heads, chosen, 64, by_share=by_share)
        assert (chosen, by_share) == (0, False)

    assert turns.choose([Head(Priority.LOW, 1), Head(Priority.HIGH, 2)]) == (1, False)
