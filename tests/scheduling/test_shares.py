"""How a node's slots are shared between queues, with a clock turned by hand."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.scheduling.shares import Shares


def serve(shares: Shares, slots: int, seconds: range, queues: Sequence[str]) -> Counter[str]:
    """Seconds that each queue had, when *queues* all asked for every slot."""
    had: Counter[str] = Counter()
    held: dict[str, int] = {}
    for second in seconds:
        unmet = {queue: slots - held.get(queue, 0) for queue in queues}
        held = shares.decide(slots, held, unmet, float(second))
        had.update(held)
    return had


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 8])
def test_busy_queues_have_their_weights_part(slots: int) -> None:
    """Three to one; where a slot cannot be divided, in time."""
    had = serve(Shares({"gpu": 3, "cpu": 1}), slots, range(80), ["gpu", "cpu"])

    assert sum(had.values()) == 80 * slots
    assert had["gpu"] / had["cpu"] == pytest.approx(3, rel=0.1)


def test_queue_without_work_leaves_its_part_and_saves_nothing_up() -> None:
    """It gets its share again when it has work, and no more for the time that it had none."""
    shares = Shares({"gpu": 1, "cpu": 1})

    alone = serve(shares, 2, range(100), ["gpu"])
    both = serve(shares, 2, range(100, 140), ["gpu", "cpu"])

    assert alone == {"gpu": 200, "cpu": 0}
    assert both["gpu"] == pytest.approx(both["cpu"], abs=2)


def test_what_one_queue_does_not_want_the_others_have() -> None:
    """Weights share out what is wanted by several; nothing lies idle for their sake."""
    given_out = Shares({"gpu": 9, "cpu": 1}).decide(8, {"gpu": 1}, {"cpu": 20}, 0.0)

    assert given_out == {"gpu": 1, "cpu": 7}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30),
    st.integers(1, 8),
)
def test_no_slot_is_given_twice_or_to_nobody(
    weights: dict[str, int], looks: list[tuple[int, int]], slots: int
) -> None:
    """Whatever is asked: all that is wanted is given as far as there are slots."""
    shares = Shares(weights)
    for second, (held, unmet) in enumerate(looks):
        given_out = shares.decide(
            slots, dict.fromkeys(weights, held), dict.fromkeys(weights, unmet), second / 2
        )

        assert sum(given_out.values()) == min(slots, (held + unmet) * len(weights))
        assert all(count <= held + unmet for count in given_out.values())


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=2))
def test_no_queue_starves(weights: dict[str, int]) -> None:
    """On one slot, each queue has its turn before the weights' sum of seconds is over."""
    shares = Shares(weights)

    had = serve(shares, 1, range(2 * sum(weights.values())), list(weights))

    assert all(had[queue] for queue in weights)
