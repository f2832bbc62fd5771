"""`options(timeout=...)`: the call ends in time, and nobody else notices."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import distexec
from conftest import eventually
from properties import calls
from properties.scripts import Program
from ring.deeds import backtrack

from . import deeds
from .conftest import Gate

#: A call that no other takes as long as; short, since each of these tests waits for it.
LIMIT = 0.2

#: Of C code that holds the interpreter's lock: longer than any test.
ENDLESS = 70


@pytest.fixture(scope="module")
def patient() -> Iterator[distexec.LocalCluster]:
    """A cluster that kills nobody, however long an interrupted call takes on a busy machine."""
    cluster = distexec.LocalCluster(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTEXEC_GRACE_SECONDS", "60")
        cluster.start().wait_ready()
    with cluster:
        yield cluster


@pytest.mark.parametrize(
    "function", [deeds.sleep_long, deeds.wait_for_a_lock, deeds.sleep_on_a_loop, deeds.spin]
)
def test_what_can_be_interrupted_is(
    patient: distexec.LocalCluster, function: Callable[[], Any]
) -> None:
    """The process goes on: a new one would cost its imports and its initializer."""
    with distexec.DistributedExecutor(1, cluster=patient) as executor:
        view = executor.options(timeout=LIMIT)
        pid = executor.submit(os.getpid).result(timeout=25)
        error = view.submit(function).exception(timeout=25)

        assert isinstance(error, distexec.CallTimeout) and isinstance(error, TimeoutError)
        assert error.seconds == LIMIT and "interrupted" in error.where
        assert f"process {pid}" in str(error)
        assert executor.submit(os.getpid).result(timeout=25) == pid


def test_what_cannot_be_interrupted_is_killed(
    two_slots: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """C code that holds the lock, and code that catches everything; a neighbour never notices."""
    with distexec.ProcessPoolExecutor(2, cluster=two_slots) as executor:
        neighbour = executor.submit(calls.wait_for, gate.path, "there", ledger)
        eventually(neighbour.running)
        view = executor.options(timeout=LIMIT)
        for stuck in (
            view.submit(backtrack, ENDLESS),
            view.submit(deeds.never_give_in),
        ):
            error = stuck.exception(timeout=25)
            assert isinstance(error, distexec.CallTimeout)
            assert "SIGKILL" in str(error) and two_slots.node in str(error)

        assert executor.submit(calls.square, 3).result(timeout=25) == 9
        gate.open()
        assert neighbour.result(timeout=25) == "there"
        assert executor.statistics().retried == 0
    assert calls.read_ledger(ledger) == ["there"]


def test_unpickling_counts(executor: distexec.DistributedExecutor) -> None:
    """An argument that hangs on its way in is as bad as a function that hangs."""
    future = executor.options(timeout=LIMIT).submit(calls.identity, deeds.SlowToUnpickle())

    assert isinstance(future.exception(timeout=25), distexec.CallTimeout)


def test_an_answer_after_the_time_is_none(patient: distexec.LocalCluster) -> None:
    """Else the limit would mean something else for each function."""
    with distexec.DistributedExecutor(1, cluster=patient) as executor:
        future = executor.options(timeout=LIMIT).submit(deeds.answer_anyway)

        with pytest.raises(distexec.CallTimeout):
            future.result(timeout=25)


def test_a_call_in_time_is_as_any_other(executor: distexec.DistributedExecutor) -> None:
    """Results, errors, batches of short calls; and no signal handler stays behind."""
    view = executor.options(timeout=60)
    before = executor.submit(deeds.alarm_handler).result(timeout=25)

    assert list(view.map(calls.square, range(50))) == [n * n for n in range(50)]
    assert isinstance(view.submit(calls.throw, KeyError("x")).exception(timeout=25), KeyError)
    handlers = set(executor.map(deeds.alarm_handler, range(20)))
    assert handlers == {before}
    assert executor.statistics().failed == 1


def test_it_runs_alone_in_its_process(two_slots: distexec.LocalCluster, ledger: str) -> None:
    """Killing it must not hit a neighbour: threads of its process wait until it has ended."""
    with distexec.ThreadPoolExecutor(8, cluster=two_slots) as executor:
        view = executor.options(timeout=60)
        names = [f"{'alone' if n % 4 == 3 else 'shared'}-{n}" for n in range(40)]
        futures = [
            (view if name.startswith("alone") else executor).submit(
                deeds.note_stay, ledger, name, 0.02
            )
            for name in names
        ]

        assert [future.result(timeout=30) for future in futures] == names
        assert executor.statistics().retried == 0
    inside: dict[str, set[str]] = {}
    for line in calls.read_ledger(ledger):
        pid, sign, name = line.split()
        present = inside.setdefault(pid, set())
        if sign == "-":
            present.remove(name)
            continue
        present.add(name)
        alone = [each for each in present if each.startswith("alone")]
        assert not alone or present == set(alone[:1]), f"{present} in one process"


def test_a_lease_with_threads_comes_round_to_it(
    one_slot: distexec.LocalCluster, gate: Gate
) -> None:
    """While the only lease always has other calls to run, one that runs alone is not forgotten."""
    with distexec.ThreadPoolExecutor(3, cluster=one_slot) as executor:
        stop = threading.Event()

        def go_on(done: object) -> None:
            if not stop.is_set():
                executor.submit(calls.sleep_then, 0.02).add_done_callback(go_on)

        for _ in range(6):
            go_on(None)
        try:
            alone = executor.options(timeout=60).submit(calls.square, 3)
            assert alone.result(timeout=25) == 9
        finally:
            stop.set()


def test_a_sub_call_with_a_limit_does_not_deadlock(one_slot: distexec.LocalCluster) -> None:
    """With no other slot it shares its caller's process after all: better than for ever."""
    with distexec.DistributedExecutor(1, cluster=one_slot) as executor:
        future = executor.submit(deeds.limited_sub_call, None)

        name, parent, child = future.result(timeout=28)
    assert (name, parent) == ("CallTimeout", child)


def test_the_twin_interrupts_python_code() -> None:
    """A thread cannot be killed, but what it runs can be made to raise."""
    with distexec.DistributedExecutor(1, cluster="threads") as executor:
        future = executor.options(timeout=LIMIT).submit(deeds.spin)

        assert isinstance(future.exception(timeout=25), distexec.CallTimeout)


TRACED = """
import sys
def spin():
    while True:
        pass
future = make(1).options(timeout=0.05).submit(spin)
print(type(future.exception(timeout=25)).__name__)
sys.settrace(lambda *_: None)
print(calls.square(3))
"""


def test_an_interruption_leaves_the_interpreter_well(tmp_path: Path) -> None:
    """Python 3.11 ran for ever when something traced it after one: a debugger, or hypothesis."""
    with Program("twin", TRACED, tmp_path) as program:
        code, output, errors = program.finish()

    assert (code, output.split()) == (0, ["CallTimeout", "9"]), errors


def test_the_twin_gives_up_what_it_cannot_interrupt() -> None:
    """The future ends in time, and the executor goes on; only the thread stays until it is let go.

    This is the twin's limit: there is no process of the call's own to kill.
    """
    try:
        with distexec.DistributedExecutor(1, cluster="threads") as executor:
            stuck = executor.options(timeout=LIMIT).submit(deeds.stay_stuck)

            assert isinstance(stuck.exception(timeout=25), distexec.CallTimeout)
            assert executor.submit(calls.square, 3).result(timeout=25) == 9
    finally:
        deeds.release.set()
