"""Urgent work in a busy executor starts within one call boundary, and low work keeps its share."""

import pytest

import distexec
from conftest import eventually
from distexec.client.calls import CallState
from properties import calls

from . import deeds
from .conftest import Gate


def names(ledger: str) -> list[str]:
    return [line.split()[0] for line in calls.read_ledger(ledger)]


def test_urgent_calls_are_the_next_to_start(
    one_slot: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """Also before calls that are on the stream already: those are recalled, and sent again."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        urgent = executor.options(priority=distexec.Priority.URGENT)
        low = executor.options(priority=distexec.Priority.LOW)
        futures = [low.submit(deeds.noted_wait, ledger, gate.path, f"low{n}") for n in range(4)]
        eventually(lambda: names(ledger) == ["low0"] and executor.statistics().sent == 2)

        for n in range(2):
            futures.append(urgent.submit(deeds.noted_wait, ledger, gate.path, f"urgent{n}"))
            futures.append(executor.submit(deeds.noted_wait, ledger, gate.path, f"medium{n}"))
        eventually(lambda: futures[4]._call.state is CallState.SENT)
        gate.open()

        assert sorted(future.result(timeout=20) for future in futures) == sorted(names(ledger))
    order = ["low0", "urgent0", "urgent1", "medium0", "medium1", "low1", "low2", "low3"]
    assert names(ledger) == order


def test_what_is_known_to_be_short_overtakes_as_well(
    one_slot: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """There is room for thousands of such calls: on the stream, behind what is there."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        urgent = executor.options(priority=distexec.Priority.URGENT)
        for _ in range(20):
            urgent.submit(calls.note, ledger, "short").result(timeout=20)
        futures = [executor.submit(deeds.noted_wait, ledger, gate.path, f"low{n}") for n in (0, 1)]
        eventually(lambda: "low0" in names(ledger) and executor.statistics().sent == 2)

        futures.append(urgent.submit(calls.note, ledger, "urgent"))
        eventually(lambda: futures[2]._call.state is CallState.SENT)
        gate.open()
        for future in futures:
            future.result(timeout=20)

    assert names(ledger)[20:] == ["low0", "urgent", "low1"]


def test_of_ten_calls_one_is_the_oldest(
    one_slot: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """A flood of urgent work does not stop the rest."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        urgent = executor.options(priority=distexec.Priority.URGENT)
        futures = [executor.submit(deeds.noted_wait, ledger, gate.path, "first")]
        eventually(lambda: names(ledger) == ["first"])
        futures += [executor.submit(deeds.noted_wait, ledger, gate.path, "low") for _ in range(2)]
        futures += [urgent.submit(deeds.noted_wait, ledger, gate.path, "up") for _ in range(40)]
        eventually(lambda: executor.statistics().waiting == 41)
        gate.open()
        for future in futures:
            future.result(timeout=20)

    places = [place for place, name in enumerate(names(ledger)) if name == "low"]
    assert len(places) == 2
    assert places[1] < 30, "two shares of ten, and what was on its way"


@pytest.mark.parametrize(
    ("priority", "error"),
    [(-1, ValueError), (11, ValueError), ("high", TypeError), (True, TypeError), (5.0, TypeError)],
)
def test_wrong_priorities_are_refused_at_once(priority: object, error: type[Exception]) -> None:
    """At the line that is wrong, and not when a call is sent."""
    with distexec.DistributedExecutor(cluster="threads") as executor, pytest.raises(error):
        executor.options(priority=priority)  # type: ignore[arg-type]


def test_ten_of_other_systems_is_urgent() -> None:
    """Celery and AMQP count to 10, or may."""
    with distexec.DistributedExecutor(cluster="threads") as executor:
        assert executor.options(priority=10)._options.place.priority == distexec.Priority.URGENT
        assert executor.options()._options.place.priority == distexec.Priority.MEDIUM
