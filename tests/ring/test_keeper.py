"""When the thread looks that looks after a lease."""

import threading
import time
from collections.abc import Iterator
from math import inf

import pytest

from conftest import eventually
from distexec.worker.keeper import KEEPER_SECONDS, Keeper


class Looks:
    """A keeper's looks, each of which asks for a long pause."""

    def __init__(self) -> None:
        self.keeper = Keeper()
        self.count = 0
        self._looked = threading.Semaphore(0)

    def look(self) -> float:
        self.count += 1
        self._looked.release()
        return 60.0

    def await_one(self) -> None:
        assert self._looked.acquire(timeout=20)


@pytest.fixture(name="looks")
def make_looks() -> Iterator[Looks]:
    looks = Looks()
    looks.keeper.start(looks.look, pytest.fail)
    yield looks
    looks.keeper.stop()


def test_it_looks_when_it_is_woken(looks: Looks) -> None:
    for _ in range(3):
        looks.keeper.wake()
        looks.await_one()

    assert looks.count == 3


def test_what_can_wait_for_the_next_look_wakes_nobody(looks: Looks) -> None:
    """Each call that starts says how long it can wait: a thread less to wake for most of them."""
    looks.keeper.wake()
    looks.await_one()
    eventually(lambda: looks.keeper._next_at < inf)  # It knows when it looks next.

    for _ in range(100):
        looks.keeper.wake(within=120.0)
    assert not looks.keeper._woken.is_set()

    looks.keeper.wake(within=1.0)
    looks.await_one()
    assert looks.count == 2


def test_it_looks_when_it_was_asked_to_and_not_before(looks: Looks) -> None:
    """What begins says when it is worth looking: a look at once would find nothing to do."""
    began = time.monotonic()
    looks.keeper.wake(within=0.05)
    looks.await_one()
    assert time.monotonic() - began >= 0.05


def test_the_soonest_of_several_times_counts(looks: Looks) -> None:
    looks.keeper.wake(within=60.0)
    for within in (0.05, 30.0, 0.02):
        looks.keeper.wake(within)
    looks.await_one()
    assert looks.count == 1


def test_two_looks_are_some_time_apart(looks: Looks) -> None:
    """However often it is woken: a look takes the interpreter from the calls."""
    looks.keeper.wake()
    looks.await_one()
    began = time.monotonic()
    for _ in range(3):
        looks.keeper.wake()
        looks.await_one()
    assert time.monotonic() - began >= 2 * KEEPER_SECONDS
