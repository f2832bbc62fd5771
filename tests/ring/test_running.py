"""Rule 5 and the heartbeats: what runs is known to run, once, however deaf its process is."""

import time
from collections.abc import Iterator

import pytest

import distexec
from conftest import eventually
from properties import calls

from . import deeds
from .conftest import Gate

#: Seconds of silence after which a node of `hasty` counts as lost.
EXPIRY_SECONDS = 1.0


@pytest.fixture(scope="module")
def hasty() -> Iterator[distexec.LocalCluster]:
    """A cluster of two slots that gives up a silent node soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTEXEC_BEAT_SECONDS", "0.2")
        patch.setenv("DISTEXEC_NODE_EXPIRY_SECONDS", str(EXPIRY_SECONDS))
        with distexec.LocalCluster(2) as cluster:
            cluster.wait_ready()
            yield cluster


def test_a_call_that_lasts_is_running(two_slots: distexec.LocalCluster, gate: Gate) -> None:
    """Not before it does, and from then on until it ends."""
    with distexec.ProcessPoolExecutor(1, cluster=two_slots) as executor:
        first = executor.submit(calls.wait_for, gate.path)
        second = executor.submit(calls.nothing)

        eventually(first.running)
        assert not second.running() and not second.done()
        assert executor.statistics().running == 1
        gate.open()
        second.result(timeout=20)
        assert not first.running() and first.done()


def test_a_call_that_holds_the_interpreter_is_running(
    two_slots: distexec.LocalCluster, ledger: str
) -> None:
    """The first of its function, so nobody expects it; and no thread beside it can say so."""
    length = deeds.length_lasting(1.5)
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        executor.submit(calls.nothing).result(timeout=20)

        future = executor.submit(deeds.noted_backtrack, ledger, length)

        eventually(future.running, timeout=1.0)
        assert calls.read_ledger(ledger) != ["start", "end"], "it ended before it could be seen"
        assert not future.cancel()
        assert future.result(timeout=30) == "done"


def test_a_silent_process_is_not_a_lost_one(hasty: distexec.LocalCluster, ledger: str) -> None:
    """Three expiries without a sign of its own: the node's main process speaks for it."""
    length = deeds.length_lasting(3 * EXPIRY_SECONDS)
    with distexec.DistributedExecutor(2, cluster=hasty) as executor:
        executor.submit(calls.nothing).result(timeout=20)
        began = time.monotonic()

        future = executor.submit(deeds.noted_backtrack, ledger, length)
        others = list(executor.map(calls.square, range(50)))

        assert others == [n * n for n in range(50)]
        assert future.result(timeout=40) == "done"
        if time.monotonic() - began < 1.5 * EXPIRY_SECONDS:
            pytest.skip("the call was too short on this machine to prove anything")
        assert calls.read_ledger(ledger) == ["start", "end"]
        assert executor.statistics().retried == 0


def test_short_calls_behind_a_silent_one_move_on(
    two_slots: distexec.LocalCluster, ledger: str
) -> None:
    """They were taken with it, and its process cannot even return them: others must do."""
    length = deeds.length_lasting(1.0)
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        list(executor.map(calls.identity, range(200)))
        silent = executor.submit(deeds.noted_backtrack, ledger, length)
        eventually(lambda: calls.read_ledger(ledger))

        others = [executor.submit(calls.identity, n) for n in range(100)]

        assert [future.result(timeout=20) for future in others] == list(range(100))
        assert not silent.done(), "the others waited for it"
        assert silent.result(timeout=20) == "done"
