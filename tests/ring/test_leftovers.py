"""What calls leave behind: nothing, however they end.

Compiled calls are not known to the garbage collector: each must be let go by its future.
"""

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import distexec
from conftest import eventually
from distexec.version import is_compiled
from properties import calls

from . import deeds
from .conftest import Gate

Futures = list[distexec.Future[Any]]


def returned(pool: distexec.DistributedExecutor, gate: Gate) -> Futures:
    futures = [pool.submit(deeds.add_one, number) for number in range(50)]
    assert len(list(distexec.as_completed(futures, timeout=60))) == 50
    return futures


def raised(pool: distexec.DistributedExecutor, gate: Gate) -> Futures:
    futures = [pool.submit(deeds.add_one, None) for _ in range(3)]
    assert all(future.exception(timeout=60) for future in futures)
    return futures


def cancelled(pool: distexec.DistributedExecutor, gate: Gate) -> Futures:
    futures = [pool.submit(calls.wait_for, gate.path) for _ in range(30)]
    eventually(futures[0].running)
    assert sum(future.cancel() for future in futures) >= 20
    gate.open()
    return futures


def killed(pool: distexec.DistributedExecutor, gate: Gate) -> Futures:
    future = pool.submit(calls.wait_for, gate.path)
    eventually(future.running)
    assert future.kill()
    distexec.wait([future], timeout=60)
    return [future]


def closed(pool: distexec.DistributedExecutor, gate: Gate) -> Futures:
    futures = [pool.submit(calls.wait_for, gate.path) for _ in range(30)]
    eventually(futures[0].running)
    threading.Timer(0.1, gate.open).start()
    pool.shutdown(cancel_futures=True)
    assert futures[-1].cancelled()
    return futures


def timed_out(pool: distexec.DistributedExecutor, gate: Gate) -> Futures:
    futures = [pool.submit(calls.wait_for, gate.path)]
    with pytest.raises(TimeoutError):
        next(distexec.as_completed(futures, timeout=0))
    gate.open()
    return futures


@pytest.mark.parametrize("end", [returned, raised, cancelled, killed, closed, timed_out])
def test_ended_calls_are_forgotten(
    two_slots: distexec.LocalCluster,
    gate: Gate,
    end: Callable[[distexec.DistributedExecutor, Gate], Futures],
) -> None:
    def known() -> list[weakref.ref[distexec.Future[Any]]]:
        with distexec.DistributedExecutor(2, cluster=two_slots) as pool:
            return [weakref.ref(future) for future in end(pool, gate)]

    futures = known()
    gc.collect()

    eventually(lambda: not any(each() for each in futures))


def test_the_garbage_collector_need_not_look_at_compiled_calls(
    two_slots: distexec.LocalCluster, gate: Gate
) -> None:
    """There may be a million of them."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as pool:
        future = pool.submit(calls.wait_for, gate.path)
        call = future._call
        assert call is not None
        assert gc.is_tracked(call) is not is_compiled()
        gate.open()
        future.result(timeout=60)
