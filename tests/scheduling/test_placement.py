"""Where calls go: to who will be done first, and never to who got busier."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.scheduling.placement import (
    NodeState,
    QueueState,
    choose,
    estimate,
    is_worth_moving,
)


def node(**fields: object) -> NodeState:
    """A node of four slots on four processors, idle unless *fields* say otherwise."""
    return NodeState(**{"name": "n", "slots": 4, "busy": 0, "processors": 4.0, **fields})  # type: ignore[arg-type]


def queue(*nodes: NodeState, waiting: int = 0, name: str = "q") -> QueueState:
    return QueueState(name=name, nodes=nodes, waiting=waiting)


def total(state: QueueState, **about: float) -> float:
    return estimate(state, **{"run_seconds": 1.0, **about}).total  # type: ignore[arg-type]


def test_free_slot_on_an_idle_machine_takes_what_the_call_takes() -> None:
    """Nothing is added where nothing is in the way."""
    assert total(queue(node())) == 1.0


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (queue(node(busy=3)), queue(node(busy=4))),
        (queue(node(busy=4)), queue(node(busy=4), waiting=8)),
        (queue(node()), queue(node(foreign_cpu=3.5))),
        (queue(node(), node()), queue(node(busy=4), waiting=1)),
        (queue(node(busy=4), node(busy=4), waiting=8), queue(node(busy=4), waiting=8)),
        (queue(node(busy=4), waiting=100), queue(node(is_serving=False))),
        (queue(node(busy=4), waiting=100), queue(node(memory_share=0.01))),
        (queue(node(busy=4), waiting=100), queue()),
    ],
    ids=["slot", "depth", "hog", "idle", "more-nodes", "draining", "memory", "nobody"],
)
def test_better_queue_has_the_smaller_estimate(better: QueueState, worse: QueueState) -> None:
    """Depth, free slots, others' load, memory, nodes: each is a reason of its own."""
    assert total(better) < total(worse)


def test_waiting_calls_do_not_mind_a_hog() -> None:
    """A call that waits for the network lasts as long on a full machine."""
    hogged = queue(node(foreign_cpu=4.0))

    assert total(hogged, cpu_share=0.0) == 1.0
    assert total(hogged, cpu_share=1.0) > 2.0


def test_payload_counts_where_it_is_not() -> None:
    """A gigabyte is worth waiting for a slot where it was fetched already."""
    busy = queue(node(busy=4), waiting=4)

    assert total(busy, size=0) < total(queue(node()), size=10**9)


states = st.builds(
    node,
    slots=st.integers(1, 16),
    busy=st.integers(0, 16),
    processors=st.floats(0.5, 64),
    foreign_cpu=st.floats(0, 80),
    memory_share=st.floats(0, 1),
    is_serving=st.booleans(),
)
queues = st.builds(
    lambda nodes, waiting: queue(*nodes, waiting=waiting),
    st.lists(states, max_size=4),
    st.integers(0, 1000),
)


@given(queues, st.integers(0, 500), st.floats(0, 1))
def test_more_depth_never_attracts(state: QueueState, more: int, cpu_share: float) -> None:
    """Otherwise one queue would draw all calls, the faster the worse it got."""
    deeper = QueueState(name="q", nodes=state.nodes, waiting=state.waiting + more)

    assert total(deeper, cpu_share=cpu_share) >= total(state, cpu_share=cpu_share)


@given(queues, st.floats(0, 10), st.floats(0, 1))
def test_more_foreign_load_never_attracts(state: QueueState, more: float, cpu_share: float) -> None:
    """As above, for what others do on the machines, all of them alike."""
    hogged = queue(
        *(
            node(
                slots=each.slots,
                busy=each.busy,
                processors=each.processors,
                foreign_cpu=each.processors * 0.5 + each.foreign_cpu + more,
                memory_share=each.memory_share,
                is_serving=each.is_serving,
            )
            for each in state.nodes
        ),
        waiting=state.waiting,
    )

    assert total(hogged, cpu_share=cpu_share) >= total(state, cpu_share=cpu_share) * (1 - 1e-9)


@given(st.lists(queues, min_size=1, max_size=5), st.integers())
def test_choice_is_never_much_worse_than_the_best(states: list[QueueState], seed: int) -> None:
    """Chance decides among equals only, and a queue that nobody serves is the last resort."""
    estimates = [estimate(each, run_seconds=0.5) for each in states]

    chosen = choose(estimates, random.Random(seed))

    best = min(each.total for each in estimates)
    assert chosen.total <= best * 1.2 or math.isinf(best)


def test_equals_share_the_work() -> None:
    """A crowd of callers that sees the same figures must not go to the same place."""
    estimates = [estimate(queue(node(), name=name), run_seconds=1.0) for name in "abc"]
    chance = random.Random(1)

    names = [choose(estimates, chance).queue for _ in range(300)]

    assert min(names.count(name) for name in "abc") > 60


@given(st.lists(queues, min_size=2, max_size=4))
def test_what_was_moved_does_not_come_back(states: list[QueueState]) -> None:
    """No flapping: after a move the place that was left is not worth moving to."""
    estimates = [estimate(state, run_seconds=0.5) for state in states]
    here, *elsewhere = estimates
    if is_worth_moving(here, elsewhere):
        best = min(elsewhere, key=lambda each: each.total)

        assert not is_worth_moving(best, [here])
    assert not is_worth_moving(here, [])


@given(queues, st.floats(0.85, 1.15), st.integers())
def test_noise_moves_nothing(state: QueueState, noise: float, seed: int) -> None:
    """Two queues in the same state look a little different each second."""
    one = estimate(state, run_seconds=0.5)
    other = estimate(state, run_seconds=0.5 * noise)

    assert not is_worth_moving(one, [other])
    assert not is_worth_moving(other, [one])
    assert choose([one, other], random.Random(seed)) in (one, other)


def test_a_free_slot_elsewhere_ends_a_long_wait() -> None:
    """Nobody knew that the calls before it last for hours; where all are busy it stays."""
    here = estimate(queue(node(busy=4)), run_seconds=None)
    free = estimate(queue(node()), run_seconds=None)
    busy = estimate(queue(node(busy=4)), run_seconds=None)

    assert not is_worth_moving(here, [free], waited=0.1)
    assert is_worth_moving(here, [free], waited=0.5)
    assert not is_worth_moving(here, [busy], waited=100.0)
