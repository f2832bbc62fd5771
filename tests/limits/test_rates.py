"""Rate limits and concurrency limits: over all calls that share a key, in nobody's way."""

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path

import pytest

import distexec
from conftest import eventually
from distexec.scheduling.rate_limits import MICROSECONDS
from distexec.settings import Settings
from distexec.store.link import Link
from properties import calls
from properties.conftest import Gate


def most_together(ledger: str) -> int:
    """How many calls of `enter_and_leave` ran at the same time, at most."""
    return max(accumulate(1 if line == "+" else -1 for line in calls.read_ledger(ledger)))


def test_a_rate_is_kept(executor: distexec.DistributedExecutor) -> None:
    """By the executor and its views, whichever call comes first; never faster, however it waits."""
    one = executor.options(rate_limit="50/s", rate_key="api")
    other = one.options(name="other")
    began = time.monotonic()
    futures = [view.submit(calls.square, n) for n in range(5) for view in (one, other)]
    results = [future.result(timeout=30) for future in futures]

    assert results == [n * n for n in range(5) for _ in range(2)]
    assert time.monotonic() - began >= 9 * 0.02
    statistics = executor.statistics()
    assert (statistics.limited, statistics.limit_waits, statistics.waiting) == (0, 10, 0)
    assert statistics.limit_wait_p95 is not None and statistics.limit_wait_p95 >= 8 * 0.02


def test_a_slow_limit_holds_up_no_other_call(
    executor: distexec.DistributedExecutor, tmp_path: Path
) -> None:
    """What waits for an hour holds no slot; it can be cancelled, and ends with its executor."""
    slow = executor.options(rate_limit="1/h", rate_key=tmp_path.name)
    assert slow.submit(calls.square, 2).result(timeout=30) == 4
    waiting = slow.submit(calls.square, 3)

    assert list(executor.map(calls.square, range(50), timeout=30)) == [n * n for n in range(50)]
    assert list(slow.options(rate_key="another").map(calls.identity, [1], timeout=30)) == [1]

    assert (waiting.running(), waiting.done()) == (False, False)
    told = executor.explain(waiting)
    assert (told.state, told.limit) == ("limited", f"rate limit '{tmp_path.name}' (0.000278/s)")
    assert "which all callers share" in str(told)
    assert executor.statistics().limited == 1
    channel = executor._channel
    assert channel is not None
    eventually(lambda: not channel.session.store.leases(channel.ref))
    second = slow.submit(calls.square, 4)
    assert second.cancel()
    executor.shutdown(cancel_futures=True)
    assert waiting.cancelled()


def test_each_function_has_a_limit_of_its_own(executor: distexec.DistributedExecutor) -> None:
    """Without a key: by its name, so that lambdas and partial calls of it share one."""
    hourly = executor.options(rate_limit="1/h")

    try:
        assert hourly.submit(calls.square, 2).result(timeout=30) == 4
        assert hourly.submit(calls.add, 2, 3).result(timeout=30) == 5
        third = hourly.submit(partial(calls.square, 3))
        eventually(lambda: executor.statistics().limited == 1)
        assert not third.done()
    finally:
        executor.shutdown(cancel_futures=True)


def test_no_more_run_together_than_that(
    executor: distexec.DistributedExecutor, ledger: str
) -> None:
    """Two slots are free, and one is used; calls without that limit use the other."""
    single = executor.options(max_concurrency=1, key="database")
    futures = [single.submit(calls.enter_and_leave, ledger, 0.01) for _ in range(10)]
    free = [executor.submit(calls.square, n) for n in range(10)]

    for future in [*free, *futures]:
        future.result(timeout=30)
    assert most_together(ledger) == 1


def test_executors_share_a_limit_and_take_turns(
    two_slots: distexec.LocalCluster,
    tmp_path: Path,
    ledger: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that has much to do does not keep the permits from another that has little.

    Each is told when it is its turn: here none would ask by itself before the test is over.
    """
    monkeypatch.setattr("distexec.client.gate.LOOK_SECONDS", 600.0)
    monkeypatch.setattr("distexec.store.redis_limits.PATIENCE", 600 * MICROSECONDS)
    with (
        distexec.DistributedExecutor(2, cluster=two_slots) as much,
        distexec.DistributedExecutor(2, cluster=two_slots) as little,
    ):
        views = [each.options(max_concurrency=1, key="shared") for each in (much, little)]
        go = tmp_path / "go"
        first = views[0].submit(calls.wait_for, str(go))
        many = [views[0].submit(calls.noted, ledger, "much", 0.001) for _ in range(50)]
        few = [views[1].submit(calls.noted, ledger, "little") for _ in range(5)]
        eventually(lambda: little.statistics().limited == 5)
        go.touch()

        for future in [first, *many, *few]:
            future.result(timeout=30)
    order = calls.read_ledger(ledger)
    assert max(n for n, who in enumerate(order) if who == "little") < 25


def die_once_inside(ledger: str, marker: str) -> None:
    """Take the worker along, the first time."""
    calls.note(ledger, "+")
    if not os.path.exists(marker):
        Path(marker).touch()
        calls.note(ledger, "-")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    calls.note(ledger, "-")


def test_a_killed_worker_leaks_no_permit(
    two_slots: distexec.LocalCluster, tmp_path: Path, ledger: str
) -> None:
    """Its call runs again with a permit, like every other one; nothing stays on the server."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        single = executor.options(max_concurrency=1, rate_limit="1000/s", key="risky")
        risky = single.submit(die_once_inside, ledger, str(tmp_path / "marker"))
        others = [single.submit(calls.enter_and_leave, ledger, 0.01) for _ in range(5)]

        for future in [risky, *others]:
            future.result(timeout=30)
        assert risky.attempts == 2
    assert most_together(ledger) == 1
    link = Link(two_slots.endpoint, Settings())
    try:
        eventually(
            lambda: not [*link.call("KEYS", "dx:permits:*"), *link.call("KEYS", "dx:rate:risky")]
        )
    finally:
        link.close()


def test_a_server_that_forgot_is_told_who_holds_what(
    two_slots: distexec.LocalCluster, gate: Gate
) -> None:
    """It was emptied: within a second nobody gets a permit too many any more."""
    link = Link(two_slots.endpoint, Settings())
    with (
        contextlib.closing(link),
        distexec.DistributedExecutor(2, cluster=two_slots) as executor,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(gate.open)
        single = executor.options(max_concurrency=1, key="forgotten")
        first, second = (single.submit(calls.wait_for, gate.path, n) for n in range(2))
        eventually(first.running)

        link.call("DEL", "dx:permits:forgotten")

        eventually(lambda: link.call("EXISTS", "dx:permits:forgotten"))
        assert executor.statistics().limited == 1
        gate.open()
        assert (first.result(timeout=30), second.result(timeout=30)) == (0, 1)


def test_retries_and_time_limits_keep_to_it(
    executor: distexec.DistributedExecutor, ledger: str, tmp_path: Path
) -> None:
    """Each attempt is a start: it waits for its own permit, and gives it back when it fails."""
    view = executor.options(max_concurrency=1, key="flaky", retries=2, backoff=0.01, jitter=0)
    failing = [view.submit(enter_and_fail, ledger) for _ in range(3)]
    fine = [view.submit(calls.enter_and_leave, ledger, 0.01) for _ in range(3)]

    assert [type(future.exception(timeout=30)) for future in failing] == [OSError] * 3
    assert [future.result(timeout=30) for future in fine] == [None] * 3
    assert most_together(ledger) == 1
    assert len(calls.read_ledger(ledger)) == 2 * (3 * 3 + 3)


def enter_and_fail(ledger: str) -> None:
    calls.enter_and_leave(ledger, 0.001)
    raise OSError("not now")


def test_a_limit_can_be_taken_away(executor: distexec.DistributedExecutor) -> None:
    """A view of a view changes what it names, and nothing else."""
    view = executor.options(rate_limit="1/h", max_concurrency=3, rate_key="r", key="c")
    limits = view.options(max_concurrency=2)._options.limits
    free = view.options(rate_limit=math.inf, max_concurrency=math.inf)._options.limits

    assert limits.rate is not None and limits.permit is not None
    assert (limits.rate.key, limits.permit.key, limits.permit.most) == ("r", "c", 2)
    assert (free.rate, free.permit) == (None, None)


@pytest.fixture
def blocked(gate: Gate) -> Iterator[distexec.DistributedExecutor]:
    """An executor with room for three that wait."""
    with distexec.DistributedExecutor(
        1, cluster="threads", max_waiting=3, submit_timeout=0
    ) as executor:
        yield executor
        executor.shutdown(cancel_futures=True)


def test_what_waits_for_a_limit_takes_room(blocked: distexec.DistributedExecutor) -> None:
    """`max_waiting` bounds the caller's memory, whatever its calls wait for."""
    slow = blocked.options(rate_limit="1/d", rate_key="room")
    slow.submit(calls.nothing).result(timeout=30)
    for _ in range(3):
        slow.submit(calls.nothing)

    with pytest.raises(distexec.WindowFull):
        slow.submit(calls.nothing)
