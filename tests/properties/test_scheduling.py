"""Properties 22 and 23: who runs when, and how often."""

import itertools
import threading
from collections import Counter
from concurrent.futures import BrokenExecutor, Future, wait
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import eventually

from . import calls, scripts
from .worlds import EMBEDDED, EVERY, OURS, Pools, World, on

# 22. Bound and progress -----------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 4])
@on(*EVERY)
def test_never_more_than_max_workers_at_a_time(
    world: World, pool: Pools, ledger: str, workers: int
) -> None:
    """``max_workers`` protects what the calls use: a database, a licence, somebody's server."""
    executor = pool(world, workers)

    list(executor.map(calls.enter_and_leave, [ledger] * 40, itertools.cycle([0.0, 0.003, 0.01])))

    steps = [1 if line == "+" else -1 for line in calls.read_ledger(ledger)]
    at_once = list(itertools.accumulate(steps))
    assert len(steps) == 80 and at_once[-1] == 0
    assert max(at_once) <= workers


@pytest.mark.parametrize("workers", [2, 4, 7])
@on(*EVERY)
def test_max_workers_calls_run_together(
    world: World, pool: Pools, tmp_path: Path, workers: int
) -> None:
    """Calls that meet at a barrier end only if all of them run: fewer would hang for ever."""
    executor = pool(world, workers)
    for round_ in range(2):
        folder = tmp_path / str(round_)
        folder.mkdir()

        futures = [executor.submit(calls.meet, folder, n, workers) for n in range(workers)]

        assert [future.result(timeout=25) for future in futures] == [workers] * workers


@on("stdlib-threads", "twin", "embedded-threads")
def test_many_waiting_calls_run_together_on_few_slots(
    world: World, pool: Pools, tmp_path: Path
) -> None:
    """A thread pool of 64 is made for calls that wait; 64 processes would be the wrong answer."""
    executor = pool(world, 64)

    futures = [executor.submit(calls.meet, tmp_path, n, 64) for n in range(64)]

    assert [future.result(timeout=25) for future in futures] == [64] * 64


@on(*EVERY)
def test_one_worker_starts_calls_in_the_order_of_submit(
    world: World, pool: Pools, ledger: str
) -> None:
    """``max_workers=1`` is how programs say "one after the other"."""
    executor = pool(world, 1)

    @world.settings(0.5)
    @given(st.lists(st.sampled_from([0.0, 0.0, 0.002, 0.01]), min_size=1, max_size=25))
    def holds(seconds: list[float]) -> None:
        Path(ledger).unlink(missing_ok=True)

        wait([executor.submit(calls.noted, ledger, n, s) for n, s in enumerate(seconds)], 20)

        assert calls.read_ledger(ledger) == [str(n) for n in range(len(seconds))]

    holds()


@on(*EVERY)
def test_long_call_holds_back_nobody_while_a_worker_is_idle(
    world: World, pool: Pools, tmp_path: Path
) -> None:
    """Batches are sent on a guess; a wrong one must be repaired, and not waited out."""
    executor = pool(world, 2)
    gates = itertools.count()

    @world.settings(0.5)
    @given(st.integers(0, 40), st.integers(1, 40))
    def holds(before: int, after: int) -> None:
        # They teach the executor that calls of this function are short.
        wait([executor.submit(calls.wait_for, "/", n) for n in range(20)], 20)
        gate = tmp_path / f"gate-{next(gates)}"

        short = [executor.submit(calls.wait_for, "/", n) for n in range(before)]
        long = executor.submit(calls.wait_for, gate, "long")
        short += [executor.submit(calls.wait_for, "/", n) for n in range(after)]
        try:
            outcome = wait(short, timeout=10)
            assert not outcome.not_done and not long.done()
        finally:
            gate.touch()
        assert long.result(timeout=20) == "long"

    holds()


@on(*EVERY)
def test_calls_that_wait_for_each_other_never_deadlock(
    world: World, pool: Pools, tmp_path: Path
) -> None:
    """Two calls that meet may not end up one behind the other in the hands of one worker."""
    executor = pool(world, 2)
    wait([executor.submit(calls.wait_for, "/") for _ in range(50)], 20)
    futures: list[Future[int]] = []
    for pair in range(15):
        folder = tmp_path / str(pair)
        folder.mkdir()
        futures += [executor.submit(calls.meet, folder, n, 2) for n in range(2)]

    assert [future.result(timeout=25) for future in futures] == [2] * 30


# 23. Exactly once without failures ------------------------------------------------------------


@on(*EVERY)
def test_every_call_runs_exactly_once(world: World, pool: Pools, ledger: str) -> None:
    """A call may send a letter: twice is as bad as never."""
    executor = pool(world, 3)
    futures: list[Future[int]] = []

    def submit(start: int) -> None:
        for number in range(start, start + 60):
            futures.append(executor.submit(calls.noted, ledger, number, 0.02 * (number % 20 == 0)))

    threads = [threading.Thread(target=submit, args=(100 * n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    results = [future.result(timeout=30) for future in futures]

    assert len(results) == 180
    assert Counter(calls.read_ledger(ledger)) == Counter(map(str, results))
    assert max(Counter(results).values()) == 1


@on("embedded", "embedded-threads")
def test_call_that_outlasts_every_heartbeat_runs_once(world: World, tmp_path: Path) -> None:
    """A big integer or a regular expression silences a process for seconds; it is alive."""
    body = """
with make(2) as executor:
    future = executor.submit(calls.hold_interpreter, ledger, 3)
    others = [executor.submit(calls.sleep_then, 0.05, n) for n in range(10)]
    print(future.result(timeout=25), [other.result(timeout=25) for other in others])
"""
    short = {
        "DISTEXEC_BEAT_SECONDS": "0.2",
        "DISTEXEC_NODE_EXPIRY_SECONDS": "1",
        "DISTEXEC_SESSION_EXPIRY_SECONDS": "1",
        "DISTEXEC_LINGER_SECONDS": "0.2",
    }

    code, output, errors = scripts.run(world.name, body, tmp_path, environment=short)

    assert (code, errors) == (0, "")
    assert output.endswith(f"{list(range(10))}\n")
    assert calls.read_ledger(tmp_path / "ledger") == ["start"]


@on("stdlib-processes", *EMBEDDED)
def test_killed_worker_means_a_retry_or_an_error(world: World, tmp_path: Path, ledger: str) -> None:
    """Never silence, never two results: the future has one answer, which says what happened."""
    with world.make(2) as executor:
        future = executor.submit(calls.die_once, tmp_path / "marker", ledger)
        error = future.exception(timeout=25)

        starts = len(calls.read_ledger(ledger))
        if error is None:
            assert future.result() == "survived" and starts == 2
        else:
            assert isinstance(error, BrokenExecutor) and starts == 1
        if world.ours:  # The standard pool is broken now.
            assert executor.submit(calls.square, 3).result(timeout=25) == 9


@on(*OURS)
def test_idle_executor_serves_again(world: World, pool: Pools) -> None:
    """Leases are given back when there is nothing to do; the next call must not notice."""
    executor = pool(world, 2)
    executor.submit(calls.nothing).result(timeout=20)

    # Longer than the linger of this run's settings.
    pause = threading.Event()
    pause.wait(0.8)
    futures = [executor.submit(calls.square, n) for n in range(5)]

    eventually(lambda: all(future.done() for future in futures))
    assert [future.result() for future in futures] == [n**2 for n in range(5)]
