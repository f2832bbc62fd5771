"""A lease takes its next call before the last one has ended, and calls start in order as ever."""

import itertools
import math
import random
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import distexec
from conftest import eventually
from distexec.scheduling.ahead import LATE_SECONDS
from distexec.settings import Settings
from distexec.store.lease_port import STARTS
from distexec.store.link import Link
from distexec.store.memory_streams import CallStream
from distexec.worker.hands import Running
from distexec.worker.leader import Grant
from distexec.worker.reserving import Reserving

from . import deeds

#: Enough to know that a function's calls are alike, whoever ran them.
LESSONS = 80


class MeetingPlace:
    """Lets those of one group go once all are there. They wait without using the processor."""

    def __init__(self, path: Path, parties: int) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._parties, self._here = parties, defaultdict[bytes, list[socket.socket]](list)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            guest, _ = self._listener.accept()
            group = guest.recv(16)
            if not group:
                guest.close()
                return
            self._here[group].append(guest)
            if len(self._here[group]) == self._parties:
                for each in self._here.pop(group):
                    each.sendall(b".")
                    each.close()

    def close(self, path: Path) -> None:
        """Stop; nobody is to come any more."""
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(path))
        self._thread.join(10)
        self._listener.close()
        path.unlink()
        for guest in [guest for guests in self._here.values() for guest in guests]:
            guest.close()


@pytest.fixture(name="place")
def make_place(tmp_path: Path) -> Iterator[str]:
    """Where groups of four meet."""
    path = tmp_path / "place"
    place = MeetingPlace(path, 4)
    yield str(path)
    place.close(path)


def reservations(cluster: distexec.LocalCluster) -> int:
    """How many there were so far, about: each is written down by one command."""
    link = Link(cluster.endpoint, Settings())
    try:
        lines = link.call("INFO", "commandstats").decode().splitlines()
    finally:
        link.close()
    counts = [line.partition("calls=")[2] for line in lines if line.startswith("cmdstat_hset:")]
    return sum(int(count.partition(",")[0]) for count in counts)


class Ends:
    """What was foreseen, and what became of it."""

    def __init__(self) -> None:
        #: How long each call is taken to last; ``None`` to learn it.
        self.seconds: float | None = None
        #: Reserved entries.
        self.given_back: list[int] = []
        self.started: list[int] = []


@pytest.fixture
def foreseen(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """A guess of the test's own, on the in-memory cluster."""
    ends, end_reservation = Ends(), CallStream.end_reservation

    def note(stream: CallStream, lease: str, entry: int) -> None:
        if entry == STARTS:
            ends.started.append(entry)
        else:
            ends.given_back.append(entry)
        end_reservation(stream, lease, entry)

    monkeypatch.setattr(CallStream, "end_reservation", note)
    guess = "distexec.worker.reserving.expected_seconds"
    monkeypatch.setattr(guess, lambda known: known and ends.seconds)
    return ends


def march(executor: distexec.DistributedExecutor, place: str) -> None:
    """Run groups of four that meet, some of them later than others."""
    chance, futures = random.Random(4), []
    for group in range(120):
        late = chance.choice([0.0, 0.0, 0.003, 0.03]) if group > LESSONS / 4 else 0.0
        who = chance.randrange(4)
        for number in range(4):
            seconds = 0.01 + late * (number == who)
            futures.append(executor.submit(deeds.rest_and_meet, seconds, place, group))

    assert [future.result(timeout=60) for future in futures] == [n // 4 for n in range(480)]
    assert executor.statistics().retried == 0


def test_calls_that_wait_for_each_other_meet(four_slots: distexec.LocalCluster, place: str) -> None:
    """Four at a time run four calls, and each of a group waits for the other three: all of them end
    only if they start in their order. Some are late, so that the next ones are reserved for
    threads that are not free when they should be."""
    with distexec.DistributedExecutor(4, cluster=four_slots) as executor:
        march(executor, place)


@pytest.mark.sources
def test_they_meet_however_often_the_guess_is_wrong(place: str, foreseen: Ends) -> None:
    """Each call is taken to end in time, as on a machine that does nothing else."""
    foreseen.seconds = 0.01
    with distexec.DistributedExecutor(4, cluster="threads") as executor:
        march(executor, place)

    assert len(foreseen.given_back) > 5
    assert len(foreseen.given_back + foreseen.started) > 15


def test_steady_calls_are_reserved(four_slots: distexec.LocalCluster) -> None:
    """Most of them, once it is known how long they last, and where that is so: on a busy machine
    they last longer now and then."""
    with distexec.DistributedExecutor(4, cluster=four_slots) as executor:
        list(executor.map(time.sleep, [0.02] * LESSONS))

        def are_reserved() -> bool:
            before = reservations(four_slots)
            list(executor.map(time.sleep, [0.02] * LESSONS))
            return reservations(four_slots) - before > LESSONS / 4

        eventually(are_reserved, timeout=60)
        assert executor.statistics().returned == 0


@pytest.mark.sources
def test_a_call_that_is_overdue_is_not_asked_for_again() -> None:
    """It was refused in its time, and goes on: the next to end beside it is the one to ask for."""
    asked: list[float] = []

    def reserve(until: float, most_threads: int) -> Grant:
        asked.append(until)
        return Grant.NOT_ASKED

    overdue = cast(Running, SimpleNamespace(started_at=0.0, ends_at=1.0, reserve_at=math.inf))
    due = cast(Running, SimpleNamespace(started_at=1.0, ends_at=2.0, reserve_at=1.9))
    hands = SimpleNamespace(taken=[], running={1: overdue, 2: due}, reserved_until=math.inf)
    standing = SimpleNamespace(lock=threading.RLock(), hands=hands)
    reserving = Reserving(*cast(Any, (None, standing, "ab", SimpleNamespace(reserve=reserve))))

    reserving.reserve(1.95)

    assert asked == [due.ends_at + LATE_SECONDS]
    assert reserving.due_at() == math.inf


@pytest.mark.sources
def test_what_was_reserved_in_vain_is_not_kept(tmp_path: Path, foreseen: Ends) -> None:
    """A call that should have ended goes on, and what was to follow it runs elsewhere."""
    with distexec.DistributedExecutor(2, cluster="threads") as executor:
        foreseen.seconds = 0.02
        gates = (tmp_path / f"gate-{number}" for number in itertools.count())

        def one_is_given_back() -> bool:
            gate = next(gates)
            long = executor.submit(deeds.rest_or_wait, 0.0, str(gate))
            others = [executor.submit(deeds.rest_or_wait, 0.02) for _ in range(10)]
            for other in others:
                other.result(timeout=20)
            assert not long.done()
            found = bool(foreseen.given_back)
            gate.touch()
            long.result(timeout=20)
            return found

        eventually(one_is_given_back, timeout=60)
