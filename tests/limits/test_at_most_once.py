"""`options(at_most_once=True)`: what may have started is never started again, whatever happens."""

import os
import signal
from collections import Counter

import psutil

import distexec
from conftest import eventually
from properties import calls
from ring import deeds as ring_deeds
from ring.test_workers import operator

from . import deeds
from .conftest import Gate


def test_a_lost_worker_is_the_end(two_slots: distexec.LocalCluster, ledger: str) -> None:
    """A payment that may have been made is not made again."""
    with distexec.DistributedExecutor(1, cluster=two_slots) as executor:
        future = executor.options(at_most_once=True).submit(ring_deeds.die_always, ledger)
        error = future.exception(timeout=25)

        assert isinstance(error, distexec.WorkerLost)
        assert "SIGKILL" in str(error) and "at_most_once" in str(error)
        assert executor.submit(calls.square, 3).result(timeout=25) == 9
    assert calls.read_ledger(ledger) == ["start"]


def test_only_what_may_have_started_fails(two_slots: distexec.LocalCluster, ledger: str) -> None:
    """Processes die at any moment: no call starts twice, and none fails that did not start."""
    killed = 0
    with distexec.ProcessPoolExecutor(2, cluster=two_slots) as executor:
        view = executor.options(at_most_once=True)
        futures = [view.submit(deeds.note_number, ledger, n) for n in range(80)]
        for done in (5, 20, 35, 50):
            eventually(lambda: len(calls.read_ledger(ledger)) > done, 25)  # noqa: B023
            pid = int(calls.read_ledger(ledger)[-1].split()[1])
            os.kill(pid, signal.SIGKILL)
            killed += 1
        errors = [future.exception(timeout=25) for future in futures]
        retried = executor.statistics().retried

    starts = Counter(int(line.split()[0]) for line in calls.read_ledger(ledger))
    lost = {n for n, error in enumerate(errors) if error is not None}
    assert all(isinstance(errors[n], distexec.WorkerLost) for n in lost)
    assert max(starts.values()) == 1
    assert set(range(80)) - set(starts) <= lost
    # A process that dies has at most one such call running: all others are moved, uncharged.
    assert len(lost) <= killed and retried == 0


def test_a_frozen_node_does_not_start_it_when_it_wakes_up(
    one_slot: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """What was taken for lost is not; it finds that its calls are not its own any more."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        view = executor.options(at_most_once=True)
        running = view.submit(calls.wait_for, gate.path, "running", ledger)
        eventually(running.running)
        behind = view.submit(calls.noted, ledger, "behind")
        node = psutil.Process(one_slot._keeper._node.pid)  # type: ignore[union-attr]
        processes = [node, *node.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            error = running.exception(timeout=25)
        finally:
            for process in processes:
                process.resume()
        gate.open()

        assert isinstance(error, distexec.WorkerLost) and "silent" in str(error)
        assert behind.result(timeout=25) == "behind"
    assert Counter(calls.read_ledger(ledger)) == {"running": 1, "behind": 1}


def test_an_emptied_server_is_the_end_of_what_was_sent(
    one_slot: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """Nobody can tell any more what started. What waits in the caller is as safe as ever."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        view = executor.options(at_most_once=True)
        running = view.submit(calls.wait_for, gate.path, "running", ledger)
        eventually(running.running)
        waiting = [view.submit(calls.noted, ledger, n) for n in range(5)]
        with operator(one_slot) as link:
            link.call("FLUSHALL")

        assert isinstance(running.exception(timeout=25), distexec.WorkerLost)
        gate.open()
        errors = [future.exception(timeout=25) for future in waiting]

    assert {type(error) for error in errors} <= {distexec.WorkerLost, type(None)}
    assert errors[-1] is None
    starts = Counter(calls.read_ledger(ledger))
    assert max(starts.values()) == 1
    assert {str(n) for n, error in enumerate(errors) if error is None} <= set(starts)


def test_without_losses_it_changes_nothing(executor: distexec.DistributedExecutor) -> None:
    """Results and errors as ever, in order."""
    view = executor.options(at_most_once=True)

    assert list(view.map(calls.square, range(30))) == [n * n for n in range(30)]
    assert isinstance(view.submit(calls.throw, KeyError()).exception(timeout=25), KeyError)
