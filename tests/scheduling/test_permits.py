"""Permits: never more than the limit together, shared in turns, back when their holder is gone."""

from hypothesis import given
from hypothesis import strategies as st

from distexec.scheduling.permits import PATIENCE, Permits, Share, share_out

EXPIRY = 60_000_000


class Cluster:
    """Executors that ask, and the state that they share."""

    def __init__(self, limit: int) -> None:
        self.limit, self.now = limit, 10**15
        self.shares: dict[str, Share] = {}
        self.held: dict[str, int] = {}

    def ask(self, who: str, wanted: int = 0, ended: int = 0) -> Permits:
        self.now += 1
        held = self.held.get(who, 0) - ended
        self.shares, permits = share_out(
            self.shares,
            who,
            self.now,
            limit=self.limit,
            held=held,
            wanted=wanted,
            expiry=EXPIRY,
        )
        self.held[who] = held + permits.granted
        return permits


@given(
    st.integers(1, 5),
    st.lists(
        st.tuples(
            st.sampled_from("abcd"), st.integers(0, 4), st.integers(0, 4), st.integers(0, PATIENCE)
        )
    ),
)
def test_never_more_than_the_limit(limit: int, asks: list[tuple[str, int, int, int]]) -> None:
    """Whoever asks for whatever, in any order, as long as each speaks before it is forgotten."""
    cluster = Cluster(limit)
    for who, wanted, ended, pause in asks:
        cluster.now += pause
        for name in [*cluster.held]:
            cluster.ask(name)  # As each beat does.
        cluster.ask(who, wanted, min(ended, cluster.held.get(who, 0)))

        assert sum(cluster.held.values()) <= limit


def test_saying_it_twice_is_saying_it_once() -> None:
    """The answer may be lost, and the question repeated."""
    cluster = Cluster(3)
    cluster.ask("a", wanted=1)
    cluster.held["a"] = 0

    assert cluster.ask("a", wanted=1).granted == 1
    assert cluster.ask("b", wanted=5).granted == 2


def test_those_who_wait_take_turns() -> None:
    """One that always has more to do does not keep the others from it."""
    cluster = Cluster(1)
    cluster.ask("a", wanted=1)
    assert cluster.ask("b", wanted=9).granted == cluster.ask("c", wanted=9).granted == 0
    served = []
    holder = "a"
    for _ in range(9):
        told = cluster.ask(holder, wanted=9, ended=1)
        assert told.granted == 0
        (holder,) = told.next_in_line
        assert cluster.ask(holder, wanted=9).granted == 1
        served.append(holder)

    assert served == [*"bca"] * 3


def test_all_who_may_have_one_are_told() -> None:
    """They wait, and would not ask soon by themselves."""
    cluster = Cluster(3)
    cluster.ask("a", wanted=3)
    cluster.ask("b", wanted=2)
    cluster.ask("c", wanted=2)

    assert cluster.ask("a", ended=1).next_in_line == ("b",)
    assert cluster.ask("a", ended=1).next_in_line == ("b", "c")


def test_permits_of_the_dead_come_back_and_their_place_in_line_does() -> None:
    """A caller that was killed says no more."""
    cluster = Cluster(2)
    cluster.ask("dead", wanted=3)
    assert cluster.ask("alive", wanted=1).granted == 0

    cluster.now += EXPIRY - 3
    assert cluster.ask("alive", wanted=1).granted == 0
    assert cluster.ask("alive", wanted=2).granted == 2


def test_who_left_the_line_holds_nobody_up() -> None:
    """The head of the line was killed: those behind it wait for its patience, and no longer."""
    cluster = Cluster(1)
    cluster.ask("holder", wanted=1)
    cluster.ask("dead", wanted=1)
    cluster.now += PATIENCE - 4
    cluster.ask("alive", wanted=1)
    assert cluster.ask("holder", ended=1).next_in_line == ("dead",)

    assert cluster.ask("alive", wanted=1).granted == 0
    assert cluster.ask("alive", wanted=1).granted == 1
