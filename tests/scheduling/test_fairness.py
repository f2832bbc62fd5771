"""Who gets a slot: bounded unfairness, no starvation, no flapping; the clock is turned by hand."""

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.scheduling import fairness
from distexec.scheduling.fairness import (
    LEAST_SLICE_SECONDS,
    LOWER_SHARE,
    SLICE_SECONDS,
    TURN_SECONDS,
    Claimant,
    Rota,
    fair_level,
)


def claimant(name: str = "a", priority: int = 5, leases: int = 0, wanted: int = 100) -> Claimant:
    return Claimant(name=name, priority=priority, leases=leases, wanted=wanted)


def new_rota() -> Rota:
    return Rota(random.Random(7))


@st.composite
def crowds(draw: st.DrawFn) -> list[Claimant]:
    """Executors that ask for the same queue."""
    found = draw(
        st.lists(
            st.builds(
                claimant,
                priority=st.integers(0, 9),
                leases=st.integers(0, 20),
                wanted=st.integers(0, 30),
            ),
            max_size=8,
        )
    )
    return [
        Claimant(name=str(n), priority=each.priority, leases=each.leases, wanted=each.wanted)
        for n, each in enumerate(found)
    ]


class Cluster:
    """Slots that run calls of one length, for executors that always have more; the real policy."""

    def __init__(self, slots: int, wanted: dict[str, int], priorities: dict[str, int]) -> None:
        self.wanted, self.priorities = wanted, priorities
        self.rotas = [Rota(random.Random(n)) for n in range(slots)]
        self.serving: list[str | None] = [None] * slots
        self.seconds: Counter[str] = Counter()
        self.switches = 0
        self.now = 0.0

    def claimants(self) -> list[Claimant]:
        leases = Counter(self.serving)
        return [
            claimant(name, self.priorities.get(name, 5), leases[name], wanted)
            for name, wanted in self.wanted.items()
        ]

    def boundary(self, slot: int) -> None:
        """A call of this slot has ended, or it is free."""
        current, rota = self.serving[slot], self.rotas[slot]
        if current not in self.wanted:
            moves = rota.order(self.claimants(), self.now)
        else:
            mine = next(each for each in self.claimants() if each.name == current)
            others = [each for each in self.claimants() if each.name != current]
            moves = rota.moves(mine, others, self.now)
        for move in moves:
            if move.claimant.leases < min(move.most, move.claimant.wanted):
                self.serving[slot] = str(move.claimant.name)
                rota.begin(move.claimant.name, self.now, is_turn=move.is_turn)
                self.switches += 1
                return

    def run(self, seconds: float, call: float = 0.01) -> None:
        """Let every slot come to a boundary after each call, in turns."""
        until = self.now + seconds
        while self.now < until:
            self.now += call
            for slot, name in enumerate(self.serving):
                if name in self.wanted:
                    self.seconds[str(name)] += call
                self.boundary(slot)


# A free slot ----------------------------------------------------------------------------------


@given(crowds())
def test_a_free_slot_goes_to_whoever_waits(crowd: list[Claimant]) -> None:
    """No slot is idle while somebody could use it, and none is forced on who has enough."""
    moves = new_rota().order(crowd, 0.0)

    assert {move.claimant for move in moves} == {each for each in crowd if each.is_waiting}
    assert all(move.most == move.claimant.wanted for move in moves)


@given(crowds())
def test_a_free_slot_goes_to_the_highest_then_to_who_has_least(crowd: list[Claimant]) -> None:
    """Between executors the higher priority goes first; equals are brought level."""
    moves = new_rota().order(crowd, 0.0)

    if moves:
        first = moves[0].claimant
        waiting = [each for each in crowd if each.is_waiting]
        assert first.priority == max(each.priority for each in waiting)
        assert first.leases == min(
            each.leases for each in waiting if each.priority == first.priority
        )


def test_equals_take_their_turns_in_a_slot() -> None:
    """Chance alone would let one of twenty wait for very long."""
    rota, names = new_rota(), [str(n) for n in range(20)]
    served = []

    for round_ in range(20):
        now = round_ / 10
        move = rota.order([claimant(name, wanted=1) for name in names], now)[0]
        rota.begin(move.claimant.name, now)
        rota.end(now + 0.1)
        served.append(move.claimant.name)

    assert sorted(served) == sorted(names)


# Call boundaries ------------------------------------------------------------------------------


@given(crowds(), st.floats(0, 100))
def test_a_lease_moves_only_to_who_waits_and_within_bounds(
    crowd: list[Claimant], elapsed: float
) -> None:
    """A move to who cannot use it is lost time; one beyond what is due comes back at once."""
    if not crowd:
        return
    rota = new_rota()
    rota.begin(crowd[0].name, 0.0)

    for move in rota.moves(crowd[0], crowd[1:], elapsed):
        other = move.claimant
        assert other.is_waiting
        assert other.leases < move.most <= other.wanted
        if other.priority == crowd[0].priority:
            assert other.leases < crowd[0].leases


def test_a_higher_priority_has_the_slot_at_the_next_boundary() -> None:
    """Urgent work does not wait for the end of a slice."""
    rota = new_rota()
    rota.begin("low", 0.0)

    (move,) = rota.moves(claimant("low", 3, leases=4), [claimant("urgent", 9, wanted=2)], now=1e-6)

    assert (move.claimant.name, move.most) == ("urgent", 2)


@given(st.integers(0, 9), st.integers(0, 8), st.floats(0, TURN_SECONDS * 8))
def test_lower_work_does_not_take_a_slot_at_once(high: int, low: int, elapsed: float) -> None:
    """It waits for its share, which is a tenth."""
    if low >= high:
        return
    rota = new_rota()
    rota.begin("high", 0.0)
    for now in (0.0, elapsed):
        assert not rota.moves(claimant("high", high, leases=2), [claimant("low", low)], now)


def test_a_lease_alone_keeps_its_slot() -> None:
    """Nobody asks, nothing changes, however long."""
    rota = new_rota()
    rota.begin("a", 0.0)

    assert not rota.moves(claimant("a", leases=4), [], 1e6)
    assert not rota.moves(claimant("a", leases=4), [claimant("b", leases=2, wanted=2)], 1e6)


@given(st.integers(1, 40), st.integers(0, 40), st.floats(0, 1e3))
def test_who_is_level_is_left_alone(mine: int, theirs: int, elapsed: float) -> None:
    """No flapping: a lease is never moved to somebody who has as many."""
    rota = new_rota()
    rota.begin("a", 0.0)

    moves = rota.moves(claimant("a", leases=mine), [claimant("b", leases=theirs)], elapsed)

    assert not moves or theirs < mine
    if theirs + 2 <= mine and elapsed >= LEAST_SLICE_SECONDS:
        assert moves and moves[0].most == math.ceil((mine + theirs) / 2)


@pytest.mark.parametrize("waiting", [1, 2, 19])
def test_slices_are_shorter_where_more_wait(waiting: int) -> None:
    """Twenty programs on one slot all get somewhere within a second or so, not within twenty."""
    rota = new_rota()
    rota.begin("a", 0.0)
    others = [claimant(str(n)) for n in range(waiting)]
    length = max(SLICE_SECONDS / waiting, LEAST_SLICE_SECONDS)

    assert not rota.moves(claimant("a", leases=1), others, 0.99 * length)
    assert rota.moves(claimant("a", leases=1), others, 1.01 * length)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(0, 60))
def test_the_fair_level_uses_all_slots_up(wants: list[int], slots: int) -> None:
    """Those who want less than the level have what they want, and the others share the rest."""
    level = fair_level([claimant(wanted=wanted) for wanted in wants], slots)

    if math.isinf(level):
        assert sum(wants) <= slots
    else:
        assert sum(min(wanted, level) for wanted in wants) == pytest.approx(slots)


# In the long run ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slots", "wants"),
    [(1, [1, 1]), (1, [9] * 6), (3, [9, 9]), (4, [1, 9, 9]), (7, [2, 3, 9]), (12, [1, 2, 3])],
)
def test_equals_get_equal_time(slots: int, wants: list[int]) -> None:
    """Bounded unfairness: nobody is far from what is due; who wants less has all of that."""
    wanted = {str(n): each for n, each in enumerate(wants)}
    cluster = Cluster(slots, wanted, {})
    cluster.run(20.0)
    due = fair_level(cluster.claimants(), slots)

    used = sum(cluster.seconds.values()) / (20.0 * slots)
    assert used == pytest.approx(min(1.0, sum(wants) / slots), rel=0.02)
    for name, wants_ in wanted.items():
        assert cluster.seconds[name] >= 0.75 * 20.0 * min(due, wants_)
    assert cluster.switches <= slots * 20.0 / LEAST_SLICE_SECONDS


@pytest.mark.parametrize("slots", [1, 2, 9, 10, 20])
@pytest.mark.parametrize("priorities", [(1, 9), (3, 5, 9), (0, 1, 2, 8)])
def test_nobody_starves(slots: int, priorities: tuple[int, ...]) -> None:
    """Everybody wants everything: a tenth is for those below the highest, and all have some."""
    names = {str(priority): priority for priority in priorities}
    cluster = Cluster(slots, dict.fromkeys(names, 100), names)
    cluster.run(20.0, call=0.02)

    shares = {name: seconds / (20.0 * slots) for name, seconds in cluster.seconds.items()}
    assert pytest.approx(1 - shares[str(max(priorities))], rel=0.2) == LOWER_SHARE
    assert min(shares[name] for name in names) > 0


@pytest.mark.parametrize("slots", [1, 2, 12])
@pytest.mark.parametrize("low", [0, 8])
def test_urgent_work_waits_for_a_boundary_and_no_longer(slots: int, low: int) -> None:
    """However busy the cluster is with something else."""
    cluster = Cluster(slots, {"low": 100}, {"low": low, "urgent": 9})
    cluster.run(2.0)
    assert cluster.serving == ["low"] * slots

    cluster.wanted["urgent"] = 1
    cluster.boundary(0)

    assert cluster.serving[0] == "urgent"
    for slot in range(1, slots):
        cluster.boundary(slot)
    assert Counter(cluster.serving)["urgent"] == 1, "one was wanted, and one slot changed hands"


@pytest.mark.parametrize(("slots", "executors"), [(2, 2), (6, 3), (12, 5)])
def test_noise_makes_nothing_flap(slots: int, executors: int) -> None:
    """What executors want changes all the time by a few; who has enough must not notice."""
    chance = random.Random(3)
    wanted = dict.fromkeys(map(str, range(executors)), 20)
    cluster = Cluster(slots, wanted, {})
    cluster.run(5.0)
    before = cluster.switches

    for _ in range(50):
        cluster.wanted = {name: 20 + chance.randint(0, 3) for name in wanted}
        cluster.run(0.1)

    # Only slots that do not divide evenly go round, and an executor gives one in a slice.
    most = executors * 5.0 / SLICE_SECONDS if slots % executors else 0
    assert cluster.switches - before <= most


def test_long_calls_are_paid_for() -> None:
    """A turn whose call takes long costs a longer pause: the share stays what it is."""
    cluster = Cluster(1, {"high": 9, "low": 9}, {"high": 8, "low": 2})
    cluster.run(400.0, call=2.0)

    assert cluster.seconds["low"] / 400.0 == pytest.approx(LOWER_SHARE, abs=0.05)


def test_one_who_comes_late_does_not_catch_up_for_ever() -> None:
    """What others had before it came is theirs."""
    cluster = Cluster(1, dict.fromkeys("abcd", 1), {})
    cluster.run(200.0, call=0.05)
    cluster.wanted["late"] = 1
    cluster.seconds.clear()
    cluster.run(60.0, call=0.05)

    assert 60 / 5 <= cluster.seconds["late"] <= 60 / 2
    assert min(cluster.seconds[name] for name in "abcd") > 60 / 5 / 2


def test_few_are_remembered() -> None:
    """A slot serves any number of executors in its life."""
    rota = Rota()
    for number in itertools.islice(itertools.count(), 2000):
        rota.begin(number, number * 0.05)
    rota.end(2000 * 0.05)

    assert len(rota._served) < 2 * fairness.MEMORY_SECONDS * math.log2(50) / 0.05
