"""A server that stalls or forgets: no call is lost, and none runs twice without need."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import distexec
from conftest import eventually
from properties import calls

from . import deeds
from .conftest import Gate
from .test_workers import operator


def test_an_emptied_server_loses_no_call(
    two_slots: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """FLUSHALL, or a restart without data: the caller holds every call, and sends it again."""
    with (
        operator(two_slots) as link,
        distexec.ProcessPoolExecutor(2, cluster=two_slots) as executor,
    ):
        futures = [executor.submit(deeds.noted_wait, ledger, gate.path, n) for n in range(12)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 2)

        link.call("FLUSHALL")

        gate.open()
        assert [future.result(timeout=25) for future in futures] == list(range(12))


def test_submit_does_not_wait_for_a_server_that_stalls(two_slots: distexec.LocalCluster) -> None:
    """It may be called from an event loop."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        executor.submit(calls.nothing).result(timeout=20)
        with stalled(two_slots, seconds=2):
            began = time.monotonic()
            future = executor.submit(calls.square, 3)
            assert time.monotonic() - began < 0.5
        assert future.result(timeout=20) == 9


@pytest.mark.sources  # A compiled store cannot be listened to.
def test_a_server_that_stalls_holds_a_burst_up_once(
    two_slots: distexec.LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `submit` could not send another thread sends: else 64 calls would wait seven times."""
    with distexec.DistributedExecutor(64, cluster=two_slots) as executor:
        executor.submit(calls.nothing).result(timeout=20)
        assert executor._channel is not None
        store = executor._channel.session.store
        put, tried = store.put, []

        def spy(*args: Any, **options: Any) -> int:
            tried.append(threading.current_thread())
            return put(*args, **options)

        monkeypatch.setattr(store, "put", spy)
        with stalled(two_slots, seconds=3):
            futures = [executor.submit(calls.square, n) for n in range(64)]
            assert tried.count(threading.current_thread()) == 1
        assert [future.result(timeout=20) for future in futures] == [n * n for n in range(64)]


def test_a_server_that_stalls_loses_no_call(two_slots: distexec.LocalCluster, ledger: str) -> None:
    """A machine that swaps, a backup: for a second nobody answers, and then all goes on."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        executor.submit(calls.nothing).result(timeout=20)
        with stalled(two_slots, seconds=1):
            futures = [executor.submit(calls.noted, ledger, n) for n in range(50)]

        assert [future.result(timeout=25) for future in futures] == list(range(50))
    assert Counter(calls.read_ledger(ledger)) == {str(n): 1 for n in range(50)}


@contextmanager
def stalled(cluster: distexec.LocalCluster, *, seconds: float) -> Iterator[None]:
    """Stop the cluster's server; it goes on after the time, or at the end of the block."""
    server = cluster._keeper.server
    assert server is not None
    resume = threading.Timer(seconds, os.kill, [server.pid, signal.SIGCONT])
    os.kill(server.pid, signal.SIGSTOP)
    resume.start()
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)
        resume.cancel()
        resume.join()


def test_a_caller_that_slept_repeats_nothing(
    two_slots: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """A laptop was closed for half a minute: its session ran out, its calls and leases did not."""
    with (
        operator(two_slots) as link,
        distexec.ProcessPoolExecutor(2, cluster=two_slots) as executor,
    ):
        futures = [executor.submit(deeds.noted_wait, ledger, gate.path, n) for n in range(8)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 2)
        key = f"dx:{{{executor._channel.ref.session}}}:session"  # type: ignore[union-attr]

        link.call("DEL", key)

        eventually(lambda: link.call("EXISTS", key))
        gate.open()
        assert [future.result(timeout=25) for future in futures] == list(range(8))
    ran = Counter(line.split()[0] for line in calls.read_ledger(ledger))
    assert ran == {str(n): 1 for n in range(8)}
