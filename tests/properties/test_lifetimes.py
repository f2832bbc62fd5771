"""Properties 17, 20 and 21: garbage, forks, and races with the end. Exits: `test_exits`."""

import contextlib
import gc
import random
import threading
import weakref
from concurrent.futures import Executor, Future, wait
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import eventually

from . import calls, scripts
from .conftest import Gate
from .worlds import EVERY, OURS, Pools, World, on

# 17. Garbage collection -----------------------------------------------------------------------


@on(*EVERY)
def test_arguments_are_released_with_the_call(world: World, pool: Pools) -> None:
    """A program that feeds gigabytes through an executor must not keep them all."""
    executor = pool(world, 2)
    argument = calls.Tracked()
    alive = weakref.ref(argument)

    future = executor.submit(calls.nothing, argument, keyword=argument)
    del argument
    future.result(timeout=20)
    if not world.apart and not world.ours:
        executor.submit(calls.nothing).result(timeout=20)  # The idle thread looks up again.

    eventually(lambda: gc.collect() * 0 or alive() is None)


@on(*EVERY)
def test_result_is_released_with_the_future(world: World, pool: Pools) -> None:
    """Nobody but the future holds it: not the window, not the collector."""
    future = pool(world, 2).submit(calls.make_tracked)
    alive = weakref.ref(future.result(timeout=20))

    del future

    eventually(lambda: gc.collect() * 0 or alive() is None)


@on(*EVERY)
def test_results_of_a_map_are_released_as_they_are_handed_out(world: World, pool: Pools) -> None:
    """A long map is a stream, and what was consumed is gone."""
    results = pool(world, 2).map(calls.identity, [calls.Tracked() for _ in range(5)])

    for result in results:
        alive = weakref.ref(result)
        del result
        eventually(lambda alive=alive: gc.collect() * 0 or alive() is None)  # type: ignore[misc]


@on(*EVERY)
def test_call_of_a_discarded_future_still_runs(
    world: World, pool: Pools, gate: Gate, tmp_path: Path
) -> None:
    """Fire and forget: who drops the future waives the result, and not the effect."""
    executor = pool(world, 1)
    executor.submit(calls.wait_for, gate.path)
    for number in range(5):
        executor.submit(calls.touch, tmp_path / f"ran-{number}")
    gc.collect()
    gate.open()

    eventually(lambda: len(list(tmp_path.glob("ran-*"))) == 5)


@on(*EVERY)
def test_forgotten_executor_finishes_its_work_and_goes(world: World, ledger: str) -> None:
    """Half of all programs never call ``shutdown``: what they submitted runs, and nothing stays."""
    threads = set(threading.enumerate())
    executor: Executor | None = world.make(2)
    assert executor is not None
    futures = [executor.submit(calls.noted, ledger, n, 0.005) for n in range(20)]
    alive = weakref.ref(executor)

    executor = None

    eventually(lambda: gc.collect() * 0 or alive() is None)
    assert [future.result(timeout=20) for future in futures] == list(range(20))
    assert sorted(map(int, calls.read_ledger(ledger))) == list(range(20))

    def is_gone() -> bool:
        assert set(threading.enumerate()) - threads == set()
        return True

    eventually(is_gone, timeout=15)


@on("stdlib-threads", *OURS)
def test_many_short_executors_leave_nothing(world: World, pool: Pools) -> None:
    """An executor per request is a habit; a descriptor per request is the end of the server."""
    keep_short_executors_clean(world, pool, 200 if world.name == "twin" else 60)


@pytest.mark.full
@on("embedded", "embedded-processes")
def test_two_hundred_executors_leave_nothing(world: World, pool: Pools) -> None:
    """As above, in the number that `semantics` asks for."""
    keep_short_executors_clean(world, pool, 200)


def keep_short_executors_clean(world: World, pool: Pools, rounds: int) -> None:
    """Make executors and drop them, half of them without a shutdown; then count what is there."""
    # What they share stays up: this is about what each adds.
    pool(world, 2).submit(calls.nothing).result(timeout=20)
    world.make(1).submit(calls.nothing).result(timeout=20)
    process = psutil.Process()
    gc.collect()
    before = eventually(lambda: _steady(process))

    for number in range(rounds):
        executor = world.make(1)
        assert executor.submit(calls.square, number).result(timeout=20) == number**2
        if number % 2:
            executor.shutdown()
        del executor
    gc.collect()

    def is_back() -> bool:
        descriptors, threads, children = _count(process)
        assert descriptors <= before[0] + 2
        assert threads <= before[1]
        assert children <= before[2]
        return True

    eventually(is_back, timeout=15)


def _count(process: psutil.Process) -> tuple[int, int, int]:
    return process.num_fds(), threading.active_count(), len(process.children(recursive=True))


def _steady(process: psutil.Process) -> tuple[int, int, int] | None:
    """Return the counts if they are the same twice, some milliseconds apart."""
    first = _count(process)
    threading.Event().wait(0.1)
    return first if _count(process) == first else None


# 20. Fork in the caller -----------------------------------------------------------------------

_FORK = """
executor = make(2)
pending = executor.submit(calls.wait_for, gate, "pending")
assert executor.submit(calls.square, 2).result(timeout=20) == 4
child = os.fork()
if child == 0:
    {body}
deadline = time.monotonic() + 25
while not (ended := os.waitpid(child, os.WNOHANG))[0]:
    if time.monotonic() > deadline:
        os.kill(child, signal.SIGKILL)
    time.sleep(0.01)
print("child:", os.waitstatus_to_exitcode(ended[1]))
assert executor.submit(calls.square, 3).result(timeout=20) == 9
calls.touch(gate)
assert pending.result(timeout=20) == "pending"
executor.shutdown()
print("parent: well")
"""

_USE = """
    try:
        with {executor} as executor:
            assert executor.submit(calls.square, 4).result(timeout=15) == 16
    except RuntimeError as error:
        assert type(error) is RuntimeError or "distexec" in type(error).__module__, error
    os._exit(5)
"""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("os._exit(5)", 5),
        ("sys.exit(5)", 5),
        ("raise ValueError('in the child')", 1),
    ],
    ids=["_exit", "exit", "raise"],
)
@on("stdlib-threads", *OURS)
def test_forked_child_may_end_in_any_way(
    world: World, tmp_path: Path, body: str, code: int
) -> None:
    """``os.fork`` and ``multiprocessing`` duplicate us: the copy must not shut down what we use."""
    ended, output, errors = scripts.run(world.name, _FORK.format(body=body), tmp_path)

    assert output.splitlines() == [f"child: {code}", "parent: well"], errors
    assert ended == 0
    assert errors == "" or "in the child" in errors


@pytest.mark.parametrize(
    "executor", ["contextlib.nullcontext(executor)", "make(1)"], ids=["inherited", "new"]
)
@on(*OURS)
def test_forked_child_may_use_an_executor(world: World, tmp_path: Path, executor: str) -> None:
    """It works or is refused, and never hangs: the child has our locks, but not our threads."""
    body = "import contextlib" + _USE.format(executor=executor)

    ended, output, errors = scripts.run(world.name, _FORK.format(body=body), tmp_path)

    assert output.splitlines() == ["child: 5", "parent: well"], errors
    assert ended == 0


# 21. Submit and shutdown races ----------------------------------------------------------------


@on("stdlib-threads", *OURS)
def test_submit_and_shutdown_race_without_loss(world: World) -> None:
    """Each submit is refused or gives a future that ends: there is no third way."""
    race_shutdowns(world, 15 if world.apart else 60)


@pytest.mark.full
@pytest.mark.timeout(1800)
@on(*OURS)
def test_submit_and_shutdown_race_without_loss_10000_times(world: World) -> None:
    """A deadlock in one of ten thousand ends is a server that hangs every other month."""
    race_shutdowns(world, 10_000)


def race_shutdowns(world: World, rounds: int) -> None:
    """Submit, cancel and shut down from many threads at once."""
    chance = random.Random(rounds)
    with world.make(1) as keeper:  # What executors share stays up in between.
        keeper.submit(calls.nothing).result(timeout=30)
        for _ in range(rounds):
            _race_shutdown(world, enough=chance.randint(0, 30), cancelling=chance.random() < 0.5)


def _race_shutdown(world: World, *, enough: int, cancelling: bool) -> None:
    executor = world.make(2)
    futures: list[Future[int]] = []
    wrong: list[BaseException] = []
    submitters = [
        threading.Thread(target=_submit_until_refused, args=(executor, futures, wrong), daemon=True)
        for _ in range(3)
    ]
    closers = [
        threading.Thread(
            target=executor.shutdown, kwargs={"cancel_futures": cancelling}, daemon=True
        )
        for _ in range(2)
    ]

    for thread in submitters:
        thread.start()
    eventually(lambda: len(futures) >= enough)
    for future in futures[::4]:
        future.cancel()
    for thread in closers:
        thread.start()
    for thread in submitters + closers:
        thread.join(timeout=30)

    assert not any(thread.is_alive() for thread in submitters + closers)
    assert wrong == []
    if world.ours:  # The standard pools tell nobody of what their shutdown cancelled.
        assert not wait(futures, timeout=10).not_done
    assert all(future.done() for future in futures)
    assert all(future.cancelled() or future.result() == 4 for future in futures)


def _submit_until_refused(
    executor: Executor, futures: list[Future[int]], wrong: list[BaseException]
) -> None:
    try:
        with contextlib.suppress(RuntimeError):
            for _ in range(500):
                futures.append(executor.submit(calls.square, 2))
    except BaseException as error:
        wrong.append(error)


@on(*EVERY)
def test_shutdown_may_be_repeated(world: World) -> None:
    """``with`` calls it after a program has called it."""
    with world.make(1) as executor:
        future = executor.submit(calls.square, 3)
        executor.shutdown()
        executor.shutdown(wait=False)
        executor.shutdown(wait=True, cancel_futures=True)

        assert future.result(timeout=0) == 9
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            executor.submit(calls.square, 3)
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            executor.map(calls.square, [3])


@on(*EVERY)
def test_shutdown_cancels_what_waits_if_told_to(world: World, gate: Gate) -> None:
    """What runs finishes, what waits is cancelled, and shutdown returns after both."""
    executor = world.make(1)
    futures = [executor.submit(calls.wait_for, gate.path, n) for n in range(8)]
    eventually(futures[0].running)
    closer = threading.Thread(
        target=executor.shutdown, kwargs={"cancel_futures": True}, daemon=True
    )
    closer.start()
    eventually(futures[-1].cancelled)
    gate.open()
    closer.join(timeout=20)

    assert not closer.is_alive()
    assert futures[0].result(timeout=0) == 0
    # The standard process pool has taken up to two calls more.
    assert all(future.cancelled() for future in futures[3:])
    assert all(future.done() for future in futures)


@pytest.mark.parametrize("waits", [False, True])
@on(*OURS)
def test_shutdown_from_a_callback_ends(world: World, waits: bool) -> None:
    """The last callback is where programs end their executor; a thread pool joins itself there."""
    executor = world.make(1)
    ended = threading.Event()

    def end(_: Future[Any]) -> None:
        executor.shutdown(wait=waits)
        ended.set()

    executor.submit(calls.nothing).add_done_callback(end)

    assert ended.wait(timeout=20)
    executor.shutdown()


@on(*EVERY)
def test_shutdown_without_waiting_finishes_the_work(world: World, ledger: str) -> None:
    """``wait=False`` returns at once; the calls go on all the same."""
    executor = world.make(1)
    futures = [executor.submit(calls.noted, ledger, n, 0.01) for n in range(10)]

    executor.shutdown(wait=False)

    assert [future.result(timeout=20) for future in futures] == list(range(10))
    assert list(map(int, calls.read_ledger(ledger))) == list(range(10))
    executor.shutdown()
