"""What calls cost, counted and not timed: commands, bytes, wake-ups, memory, objects.

Times belong to benchmarks, which no test can hold on a busy machine. These counts are what the
times are made of, and a change that doubles one of them is seen here. The bounds leave room for
beats and idle looks at the stream, and are below what the ring did before it was made fast.
"""

import gc
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import distexec
from distexec.settings import Settings
from distexec.store.link import Link
from ring import deeds
from ring.learning import freeze

from .counting import count_functions

#: Of `freeze`.
pytestmark = pytest.mark.sources

#: What the counts below are spread over.
CALLS = 400
BURST = 5000


@pytest.fixture(name="cluster", scope="module")
def make_cluster() -> Iterator[distexec.LocalCluster]:
    """Two slots, and nobody else on the server."""
    with distexec.LocalCluster(2) as cluster:
        yield cluster


@pytest.fixture(name="pool")
def make_pool(cluster: distexec.LocalCluster) -> Iterator[distexec.DistributedExecutor]:
    """An executor whose leases are there, and which knows that its calls are short."""
    with distexec.DistributedExecutor(2, cluster=cluster) as pool:
        for number in range(50):
            assert pool.submit(deeds.add_one, number).result(timeout=60) == number + 1
        freeze(pool, deeds.add_one)
        yield pool


class Meter:
    """Reads the server's own counters."""

    def __init__(self, cluster: distexec.LocalCluster) -> None:
        self._link = Link(cluster.endpoint, Settings())

    def read(self) -> tuple[int, int]:
        """Commands that were run so far, those in scripts included, and bytes that came in."""
        commands = 0
        for line in self._link.call("INFO", "commandstats").decode().splitlines():
            if line.startswith("cmdstat_"):
                commands += int(line.partition("calls=")[2].partition(",")[0])
        stats = self._link.call("INFO", "stats").decode()
        return commands, int(stats.partition("total_net_input_bytes:")[2].split()[0])

    def spent(self, work: Callable[[], Any]) -> tuple[int, int]:
        """What *work* added to both."""
        commands, size = self.read()
        work()
        commands_now, size_now = self.read()
        return commands_now - commands, size_now - size

    def close(self) -> None:
        self._link.close()


@pytest.fixture(name="meter")
def make_meter(cluster: distexec.LocalCluster) -> Iterator[Meter]:
    meter = Meter(cluster)
    yield meter
    meter.close()


def one_by_one(pool: distexec.DistributedExecutor) -> None:
    for number in range(CALLS):
        pool.submit(deeds.add_one, number).result(timeout=60)


def all_at_once(pool: distexec.DistributedExecutor) -> None:
    futures = [pool.submit(deeds.add_one, number) for number in range(BURST)]
    assert sum(future.result(timeout=60) for future in futures) == sum(range(1, BURST + 1))


def test_a_single_call_takes_few_commands(pool: distexec.DistributedExecutor, meter: Meter) -> None:
    """Put and count leases; take and look whether it still counts; reply and acknowledge; read."""
    commands, size = meter.spent(lambda: one_by_one(pool))

    assert commands / CALLS < 15
    assert size / CALLS < 1500


def test_calls_that_wait_ask_for_room_once(
    pool: distexec.DistributedExecutor, meter: Meter
) -> None:
    """Where the limit is reached there is none, and who ends in a moment need not say it began."""

    def rest_for_a_while() -> None:
        futures = [pool.submit(time.sleep, 0.01) for _ in range(60)]
        for future in futures:
            future.result(timeout=60)

    rest_for_a_while()

    commands, _ = meter.spent(rest_for_a_while)

    assert commands / 60 < 20


def test_calls_of_a_burst_share_their_commands(
    pool: distexec.DistributedExecutor, meter: Meter
) -> None:
    """Both ends batch: what is fixed for a trip is paid by hundreds of calls."""
    all_at_once(pool)

    commands, size = meter.spent(lambda: all_at_once(pool))

    assert commands / BURST < 1
    assert size / BURST < 300


def test_inputs_of_a_map_share_an_envelope(
    pool: distexec.DistributedExecutor, meter: Meter
) -> None:
    """An input costs its pickle, and hardly a byte more."""
    inputs = 4 * BURST
    list(pool.map(deeds.add_one, range(inputs)))

    commands, size = meter.spent(lambda: list(pool.map(deeds.add_one, range(inputs))))

    assert commands / inputs < 0.25
    assert size / inputs < 60


def test_a_single_call_wakes_no_thread_that_has_nothing_to_do(
    pool: distexec.DistributedExecutor,
) -> None:
    """It is sent by the thread that submits it; the dispatcher has only its clock."""
    channel = pool._channel
    assert channel is not None
    dispatcher, woken = channel.session.dispatcher, 0
    notify = dispatcher.notify

    def count(*channels: Any) -> None:
        nonlocal woken
        woken += 1
        notify(*channels)

    dispatcher.notify = count  # type: ignore[method-assign]
    one_by_one(pool)

    assert woken < CALLS / 10


def test_a_single_call_runs_little_python(pool: distexec.DistributedExecutor) -> None:
    """Nearly all of its time is Python of ours, each function of it cold by the next call."""
    functions = count_functions(lambda: one_by_one(pool))

    assert functions / CALLS < 150


def test_a_waiting_call_takes_less_than_a_kilobyte(pool: distexec.DistributedExecutor) -> None:
    """A million of them fit into a laptop."""
    channel = pool._channel
    assert channel is not None
    with channel.window.held():
        pool.submit(deeds.add_one, 1)
        gc.collect()
        objects = len(gc.get_objects())
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        futures = [pool.submit(deeds.add_one, number) for number in range(BURST)]
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        gc.collect()
        objects = len(gc.get_objects()) - objects

        assert grown / BURST < 1024
        assert objects / BURST < 4
    channel.session.dispatch(channel, at_once=False)
    assert futures[-1].result(timeout=60) == BURST


def test_a_future_nobody_waits_for_makes_no_condition() -> None:
    """The standard library's takes more memory than the rest of a call."""
    future: distexec.Future[int] = distexec.Future()

    future.set_result(1)

    assert future.result() == 1
    assert not any(isinstance(each, threading.Condition) for each in gc.get_referents(future))
