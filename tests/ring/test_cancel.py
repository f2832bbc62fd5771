"""Rule 4: `cancel` says True only if the call will never run, wherever the call is."""

import itertools
import random
import time
from collections import Counter
from pathlib import Path

import pytest

import distexec
from conftest import eventually
from distexec.client.futures import Future
from distexec.errors import ClusterUnavailable
from properties import calls

from .conftest import Gate


@pytest.mark.parametrize(
    "races", [40, pytest.param(5000, marks=[pytest.mark.full, pytest.mark.timeout(900)])]
)
def test_true_and_an_effect_never_meet(
    four_slots: distexec.LocalCluster, tmp_path: Path, races: int
) -> None:
    """Batches, four leases, recalls of half a batch: a ledger shows what ran in spite of a True."""
    race(distexec.DistributedExecutor(4, cluster=four_slots), tmp_path, races)


def test_true_and_an_effect_never_meet_on_the_twin(tmp_path: Path) -> None:
    """The same window and lease loop, at another speed."""
    race(distexec.DistributedExecutor(4, cluster="threads"), tmp_path, 60)


def race(executor: distexec.DistributedExecutor, folder: Path, races: int) -> None:
    """Submit bursts of short calls, cancel some of each at a random moment, and compare."""
    chance, numbers, ledger = random.Random(races), itertools.count(), folder / "ledger"
    won: set[int] = set()
    lost: set[int] = set()
    with executor:
        # From now on the function is known to be short, and its calls travel in batches.
        list(executor.map(calls.noted, [ledger] * 200, range(-200, 0)))
        for _ in range(races):
            burst = [next(numbers) for _ in range(chance.randint(20, 80))]
            futures = [(n, executor.submit(calls.noted, ledger, n)) for n in burst]
            instant = time.perf_counter() + chance.choice([0.0, 0.0003, 0.001, 0.003])
            while time.perf_counter() < instant:
                pass  # Shorter than the shortest sleep.
            for n, future in chance.sample(futures, len(futures) // 2):
                (won if future.cancel() else lost).add(n)
            for n, future in futures:
                if n not in won:
                    assert future.result(timeout=30) == n
                    lost.add(n)
                else:
                    assert future.cancelled()

    ran = Counter(n for n in map(int, calls.read_ledger(ledger)) if n >= 0)
    assert won, "no cancel ever came in time"
    assert set(ran) & won == set()
    assert ran == dict.fromkeys(lost, 1)


def test_a_sent_call_that_nobody_took_is_cancelled(
    one_slot: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """Two calls per worker are always in flight: those too are called back."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        busy = executor.submit(calls.wait_for, gate.path, "busy", ledger)
        eventually(busy.running)
        sent = executor.submit(calls.noted, ledger, "sent")
        eventually(lambda: executor.statistics().sent == 2)

        assert sent.cancel()
        assert sent.cancel()
        gate.open()
        assert busy.result(timeout=20) == "busy"
    assert calls.read_ledger(ledger) == ["busy"]
    assert executor.statistics().cancelled == 1


def test_cancelling_a_running_call_is_refused_and_harmless(
    one_slot: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """False means that the result will come."""
    with distexec.DistributedExecutor(1, cluster=one_slot) as executor:
        future = executor.submit(calls.wait_for, gate.path, "result", ledger)
        eventually(lambda: calls.read_ledger(ledger))

        assert not future.cancel()
        assert future.running()
        gate.open()
        assert future.result(timeout=20) == "result"


@pytest.mark.sources
def test_a_call_whose_sending_failed_is_not_cancelled_and_run(
    two_slots: distexec.LocalCluster, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that the server did not take is sent again as it is, and not called back meanwhile."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        executor.submit(calls.nothing).result(timeout=20)
        session = executor._channel.session  # type: ignore[union-attr]
        put, failures = session.store.put, iter([True])

        def put_or_fail(*args: object, **how: object) -> int:
            if next(failures, False):
                raise ClusterUnavailable("the server is away for a moment")
            return put(*args, **how)  # type: ignore[arg-type]

        monkeypatch.setattr(session.store, "put", put_or_fail)
        future: Future[str] = executor.submit(calls.noted, ledger, "effect")

        cancelled = future.cancel()
    assert calls.read_ledger(ledger) == ([] if cancelled else ["effect"])
    assert cancelled or future.result(timeout=20) == "effect"


def test_shutdown_cancels_what_was_sent_as_well(
    one_slot: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """``cancel_futures=True`` leaves nothing but what runs, and all of that."""
    executor = distexec.ProcessPoolExecutor(1, cluster=one_slot)
    busy = executor.submit(calls.wait_for, gate.path, "busy", ledger)
    eventually(busy.running)
    others = [executor.submit(calls.noted, ledger, n) for n in range(20)]

    executor.shutdown(wait=False, cancel_futures=True)

    gate.open()
    executor.shutdown()
    assert busy.result(timeout=20) == "busy"
    ran = [n for n, future in enumerate(others) if not future.cancelled()]
    assert calls.read_ledger(ledger) == ["busy", *map(str, ran)]
    assert ran == []
