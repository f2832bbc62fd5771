"""Properties 6 to 8: cancelling, and what a future says about itself."""

import concurrent.futures as stdlib
import random
import threading
import time
from collections import Counter
from concurrent.futures import Executor, Future, as_completed, wait
from pathlib import Path

import pytest

from conftest import eventually

from . import calls
from .conftest import Gate
from .worlds import EVERY, OURS, Pools, World, on

# 6. A won cancel is final ---------------------------------------------------------------------


@on(*EVERY)
def test_cancelled_call_never_has_an_effect(world: World, tmp_path: Path) -> None:
    """Who got True from ``cancel()`` may undo, repeat or bill the call: it must not run later."""
    race_cancels(world, tmp_path, races=150 if world.ours else 60)


@pytest.mark.full
@pytest.mark.timeout(600)
@on(*OURS)
def test_cancelled_call_never_has_an_effect_in_5000_races(world: World, tmp_path: Path) -> None:
    """The windows of such races are microseconds wide: only numbers find them."""
    race_cancels(world, tmp_path, races=5000)


def race_cancels(world: World, folder: Path, *, races: int) -> None:
    """Submit handfuls of calls, cancel each from two threads at a random moment, and compare."""
    chance = random.Random(races)
    ledger = folder / "ledger"
    won: set[int] = set()
    lost: set[int] = set()

    with world.make(4) as executor:
        executor.submit(calls.nothing).result(timeout=30)
        number = 0
        for _ in range(races):
            futures: dict[int, Future[int]] = {}
            for _ in range(chance.randint(1, 8)):
                futures[number] = executor.submit(calls.noted, ledger, number)
                number += 1
            results = _cancel_all(futures, pause=chance.choice([0.0, 0.0, 0.0005, 0.001, 0.002]))
            for key, cancelled in results.items():
                if cancelled:
                    assert futures[key].cancelled()
                    won.add(key)
                else:
                    assert futures[key].result(timeout=30) == key
                    lost.add(key)

    # The executor has ended: what was going to run has run.
    ran = Counter(map(int, calls.read_ledger(ledger)))
    assert set(ran) & won == set()
    assert ran == dict.fromkeys(lost, 1)


def _cancel_all(futures: dict[int, Future[int]], *, pause: float) -> dict[int, bool]:
    """Cancel every future from two threads, in opposite orders; say whether either won."""
    start = threading.Barrier(2)
    answers: list[tuple[int, bool]] = []

    def cancel(keys: list[int]) -> None:
        start.wait(timeout=20)
        instant = time.perf_counter() + pause
        while time.perf_counter() < instant:
            pass  # Shorter than the shortest sleep.
        for key in keys:
            answers.append((key, futures[key].cancel()))

    other = threading.Thread(target=cancel, args=(list(reversed(futures)),))
    other.start()
    cancel(list(futures))
    other.join(timeout=20)

    results = dict.fromkeys(futures, False)
    for key, cancelled in answers:
        results[key] |= cancelled
    return results


@on(*EVERY)
def test_running_and_finished_calls_cannot_be_cancelled(
    world: World, pool: Pools, gate: Gate, ledger: str
) -> None:
    """False means that the result will come."""
    future = pool(world, 2).submit(calls.wait_for, gate.path, "result", ledger)
    eventually(lambda: calls.read_ledger(ledger))

    assert future.cancel() is False
    gate.open()
    assert future.result(timeout=20) == "result"
    assert future.cancel() is False
    assert not future.cancelled()


@on(*EVERY)
def test_cancelling_twice_says_true_twice(world: World, pool: Pools, gate: Gate) -> None:
    """A cancelled future stays cancelled, and has no result to give."""
    future = _queued_behind_others(pool(world, 1), gate)

    assert future.cancel() is True
    assert future.cancel() is True
    assert future.cancelled() and future.done()
    with pytest.raises(stdlib.CancelledError):
        future.result(timeout=0)


# 7. Monotone, exact states --------------------------------------------------------------------


@on("stdlib-threads", *OURS, "embedded-processes")
def test_running_is_exact(world: World, pool: Pools, gate: Gate, ledger: str) -> None:
    """Progress displays show it, and ``cancel()`` follows it.

    The standard process pool says "running" of calls that wait in its pipe, and is left out.
    """
    executor = pool(world, 1)
    first = executor.submit(calls.wait_for, gate.path, None, ledger)
    second = executor.submit(calls.nothing)

    eventually(first.running)
    assert not second.running() and not second.done()

    gate.open()
    second.result(timeout=20)
    assert first.done() and not first.running() and not second.running()


@on(*EVERY)
def test_states_only_move_forward(world: World, pool: Pools) -> None:
    """A future that was seen running or done must never look as if it had not begun."""
    executor = pool(world, 3)
    chance = random.Random(7)
    futures = [
        executor.submit(calls.sleep_then, chance.choice([0.0, 0.0, 0.002, 0.01]))
        for _ in range(150)
    ]
    seen: dict[Future[None], list[int]] = {future: [0] for future in futures}
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for future, steps in seen.items():
                steps.append(_step(future))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for future in chance.sample(futures, 50):
            future.cancel()
        wait(futures, timeout=30)
    finally:
        stop.set()
        watcher.join()

    assert all(future.done() for future in futures)
    for steps in seen.values():
        assert steps == sorted(steps)


def _step(future: Future[None]) -> int:
    # Running is asked before done: between the two questions a state may only have moved on.
    if future.running():
        return 1
    return 2 if future.done() else 0


# 8. Notify ------------------------------------------------------------------------------------


@on(*EVERY)
def test_cancelled_future_is_reported_to_those_who_wait(
    world: World, pool: Pools, gate: Gate
) -> None:
    """``wait`` and ``as_completed`` must not hang on a future that nobody will ever run."""
    future = _queued_behind_others(pool(world, 1), gate)
    future.cancel()
    if not world.ours:
        gate.open()  # The standard pools tell when they come to it; ours at once.

    assert list(as_completed([future], timeout=5)) == [future]
    assert wait([future], timeout=5).done == {future}


@on(*EVERY)
def test_cancelling_wakes_those_who_wait_already(world: World, pool: Pools, gate: Gate) -> None:
    """The waiter is mostly another thread, and was there first."""
    future = _queued_behind_others(pool(world, 1), gate)
    reported: list[Future[None]] = []
    waiter = threading.Thread(
        target=lambda: reported.extend(wait([future], timeout=10).done), daemon=True
    )
    waiter.start()

    future.cancel()
    if not world.ours:
        gate.open()
    waiter.join(timeout=10)

    assert reported == [future]


@on(*EVERY)
def test_futures_of_all_kinds_mix_in_one_wait(world: World, pool: Pools, gate: Gate) -> None:
    """A program moves to us one executor at a time; a future may also be listed twice."""
    executor = pool(world, 2)
    with stdlib.ThreadPoolExecutor(2) as threads:
        mixed = [pool_.submit(calls.square, n) for n in range(6) for pool_ in (executor, threads)]
        blocked = [pool_.submit(calls.wait_for, gate.path) for pool_ in (executor, threads)]

        assert set(as_completed(mixed + mixed, timeout=20)) == set(mixed)
        first = wait(blocked + mixed, timeout=20, return_when=stdlib.FIRST_COMPLETED)
        assert first.done == set(mixed) and first.not_done == set(blocked)

        gate.open()
        everything = wait(blocked + mixed + blocked, timeout=20)
        assert everything.done == {*mixed, *blocked} and not everything.not_done


@on(*EVERY)
def test_wait_returns_at_the_first_exception(world: World, pool: Pools, gate: Gate) -> None:
    """``FIRST_EXCEPTION`` is how programs fail fast."""
    executor = pool(world, 2)
    blocked = executor.submit(calls.wait_for, gate.path)
    failing = executor.submit(calls.throw, ValueError("first"))

    outcome = wait([blocked, failing], timeout=20, return_when=stdlib.FIRST_EXCEPTION)

    assert failing in outcome.done and blocked in outcome.not_done


def _queued_behind_others(executor: Executor, gate: Gate) -> Future[None]:
    """Return a future that cannot start while the gate is shut, on an executor of one worker."""
    # Four: the standard process pool counts up to two waiting calls as running.
    for _ in range(4):
        executor.submit(calls.wait_for, gate.path)
    return executor.submit(calls.nothing)
