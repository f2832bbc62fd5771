"""Rule 8: a call may submit and wait, to any depth, with one slot in the whole cluster."""

import pytest

import distexec
from conftest import eventually
from properties import calls

from . import deeds


@pytest.mark.parametrize("how", ["result", "wait", "as_completed", "map"])
def test_a_call_may_wait_for_calls_of_its_own(one_slot: distexec.LocalCluster, how: str) -> None:
    """It sits in the only slot; its sub-calls run beside it, on another thread."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        assert executor.submit(deeds.nest, 2, how).result(timeout=28) == 2
    assert one_slot.slots == 1


def test_five_levels_deep(one_slot: distexec.LocalCluster) -> None:
    """Each level waits for the next: 31 executors, 62 calls, one slot."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        assert executor.submit(deeds.nest, 5, "result").result(timeout=60) == 5


@pytest.mark.parametrize(
    "workers",
    [
        64,
        pytest.param(
            None,
            marks=pytest.mark.xfail(
                reason="calls that wait for sub-calls of their own executor use up its limit"
            ),
        ),
    ],
)
def test_recursion_on_one_executor(workers: int | None) -> None:
    """A module-global executor, in each process: where a pool of the standard library deadlocks."""
    with (
        distexec.LocalCluster(1) as cluster,
        distexec.DistributedExecutor(1, cluster=cluster) as executor,
    ):
        assert executor.submit(deeds.fibonacci, 5, workers).result(timeout=40) == 5


def test_sub_calls_nobody_waits_for_are_run(one_slot: distexec.LocalCluster, ledger: str) -> None:
    """Fire and forget, from within a call."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        for n in range(5):
            executor.submit(deeds.submit_and_leave, ledger, n).result(timeout=20)

        eventually(lambda: len(calls.read_ledger(ledger)) == 5)
        executor.submit(deeds.forget_my_executor).result(timeout=20)
    assert sorted(calls.read_ledger(ledger)) == list("01234")
