"""`Future.kill` and `kill_workers`: what runs is stopped, and what is stopped does not deliver."""

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import psutil
import pytest

import distexec
from conftest import eventually
from distexec.client.futures import Future
from properties import calls

from . import deeds
from .conftest import Gate


@pytest.mark.parametrize("function", [deeds.note_and_nap, deeds.note_and_backtrack])
def test_a_running_call_is_stopped_with_its_process(
    two_slots: distexec.LocalCluster, gate: Gate, ledger: str, function: Callable[[str], Any]
) -> None:
    """Whatever it does there; the calls of other processes do not notice."""
    with distexec.ProcessPoolExecutor(2, cluster=two_slots) as executor:
        neighbour = executor.submit(calls.wait_for, gate.path, "there", ledger)
        eventually(lambda: calls.read_ledger(ledger))
        future = executor.submit(function, ledger)
        pid = int(eventually(lambda: calls.read_ledger(ledger)[1:])[0])

        assert future.kill()

        with pytest.raises(distexec.CallKilled, match=f"process {pid}") as caught:
            future.result(timeout=0)
        assert isinstance(caught.value, CancelledError)
        assert future.kill() and not future.cancelled() and not future.cancel()
        eventually(lambda: not psutil.pid_exists(pid))
        assert executor.submit(calls.square, 3).result(timeout=25) == 9
        gate.open()
        assert neighbour.result(timeout=25) == "there"
        assert executor.statistics().retried == 0
    assert len(calls.read_ledger(ledger)) == 2


def test_what_does_not_run_is_cancelled(
    executor: distexec.DistributedExecutor, gate: Gate, ledger: str
) -> None:
    """`kill` is `cancel` where that is enough."""
    busy = [executor.submit(calls.wait_for, gate.path, n, ledger) for n in range(2)]
    eventually(lambda: len(calls.read_ledger(ledger)) == 2)
    waiting = [executor.submit(calls.noted, ledger, "waiting") for _ in range(5)]
    resting = executor.options(retries=1, backoff=1000).submit(calls.throw, OSError())

    assert all(future.kill() and future.cancelled() for future in waiting)
    gate.open()
    assert [future.result(timeout=25) for future in busy] == [0, 1]
    eventually(lambda: executor.statistics().resting == 1)
    assert resting.kill() and resting.cancelled()
    assert "waiting" not in calls.read_ledger(ledger)


def test_what_has_ended_is_not_killed(executor: distexec.DistributedExecutor) -> None:
    """It has delivered."""
    future = executor.submit(calls.square, 3)

    assert future.result(timeout=25) == 9
    assert not future.kill()
    assert future.result() == 9


def test_neighbours_in_the_same_process_run_again(
    one_slot: distexec.LocalCluster, gate: Gate, tmp_path: Path, ledger: str
) -> None:
    """Threads cannot be killed one by one. It is not their doing, so nothing is charged."""
    with distexec.ThreadPoolExecutor(4, cluster=one_slot) as executor:
        futures = [executor.submit(calls.wait_for, gate.path, n, ledger) for n in range(4)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 4)

        assert futures[2].kill()
        eventually(lambda: len(calls.read_ledger(ledger)) == 7)
        gate.open()

        assert [futures[n].result(timeout=25) for n in (0, 1, 3)] == [0, 1, 3]
        assert executor.statistics().retried == 0
        assert all(futures[n].attempts == 1 for n in (0, 1, 3))
    assert Counter(calls.read_ledger(ledger)) == {"0": 2, "1": 2, "2": 1, "3": 2}


def test_true_and_a_result_never_meet(two_slots: distexec.LocalCluster) -> None:
    """At any moment of a call: true means that it does not deliver, false that it does."""
    chance, answers = random.Random(7), Counter[bool]()
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        for n in range(14):
            future = executor.submit(calls.sleep_then, 0.02, n)
            instant = time.monotonic() + chance.uniform(0, 0.05)
            eventually(lambda: time.monotonic() > instant, 5)  # noqa: B023

            killed = future.kill()

            answers[killed] += 1
            if killed:
                with pytest.raises((CancelledError, distexec.CallKilled)):
                    future.result(timeout=25)
            else:
                assert future.result(timeout=25) == n
    assert answers[True], "no call was caught"


def test_the_twin_interrupts_what_it_cannot_kill(ledger: str) -> None:
    """The future is settled at once, and the thread ends if it runs Python code."""
    with distexec.DistributedExecutor(1, cluster="threads") as executor:
        future: Future[None] = executor.submit(deeds.note_and_nap, ledger)
        eventually(lambda: calls.read_ledger(ledger))

        assert future.kill()
        assert isinstance(future.exception(timeout=0), distexec.CallKilled)
        assert executor.submit(calls.square, 3).result(timeout=25) == 9


def test_any_executor_can_end_its_workers(two_slots: distexec.LocalCluster, ledger: str) -> None:
    """As the process pool of Python 3.14; nothing that ran or waited delivers."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        futures = [executor.submit(deeds.note_and_backtrack, ledger) for _ in range(6)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 2)
        pids = [int(line) for line in calls.read_ledger(ledger)]

        executor.kill_workers()

        for future in futures:
            assert future.cancelled() or isinstance(future.exception(25), distexec.WorkerLost)
        eventually(lambda: not any(map(psutil.pid_exists, pids)))
        with pytest.raises(RuntimeError):
            executor.submit(calls.square, 3)
    assert len(calls.read_ledger(ledger)) == 2
