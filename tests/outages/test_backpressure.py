"""`max_waiting`: what waits in the caller stays bounded, and waiting for room always ends."""

import asyncio
import contextlib
import itertools
import queue
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import distexec
from conftest import eventually
from distexec.settings import Settings
from distexec.store.link import Link
from properties import calls
from properties.conftest import Gate, gate

__all__ = ["gate"]


@contextmanager
def pool(gate: Gate, **options: Any) -> Iterator[distexec.DistributedExecutor]:
    """An executor in memory; its calls may go at the end of the block, whatever happened in it."""
    executor = distexec.DistributedExecutor(2, cluster="threads", **options)
    try:
        yield executor
    finally:
        gate.open()
        executor.shutdown()


@contextmanager
def submitting(
    executor: distexec.DistributedExecutor, gate: Gate, count: int
) -> Iterator[list[Any]]:
    """Submit from another thread; yields what it has got so far: futures, and an error at last."""
    got: list[Any] = []

    def run() -> None:
        try:
            for n in range(count):
                got.append(executor.submit(calls.wait_for, gate.path, n))
        except Exception as error:
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield got
    finally:
        gate.open()
        thread.join(20)
        assert not thread.is_alive(), "submit waits for ever"


def is_blocked(executor: distexec.DistributedExecutor) -> bool:
    """Whether a submit waits for room."""
    room = executor._channel and executor._channel.room
    return bool(room and room._changed._waiters)  # type: ignore[attr-defined]


def test_submit_waits_for_room_and_goes_on(gate: Gate) -> None:
    """A producer that is faster than the cluster is slowed down, and its memory stays flat."""
    with pool(gate, max_waiting=5) as executor, submitting(executor, gate, 200) as got:
        eventually(lambda: is_blocked(executor) and executor.statistics().waiting == 5)
        assert len(got) < 100

        gate.open()

        eventually(lambda: len(got) == 200)
        assert [future.result(timeout=20) for future in got] == list(range(200))


def test_submit_refuses_if_told_so(gate: Gate) -> None:
    """A server that has its own queue would rather say no than wait."""
    with pool(gate, max_waiting=3, submit_timeout=0) as executor:
        futures = []
        refused = pytest.raises(distexec.WindowFull, match="3 calls wait already")
        with refused as caught:  # nobody knows how many are in flight
            while True:
                futures.append(executor.submit(calls.wait_for, gate.path, 1))
        assert isinstance(caught.value, queue.Full)

        gate.open()

        assert {future.result(timeout=20) for future in futures} == {1}
        assert executor.submit(calls.square, 3).result(timeout=20) == 9


def test_submit_refuses_after_its_time(gate: Gate) -> None:
    """Waiting has the end that was asked for."""
    with (
        pool(gate, max_waiting=3, submit_timeout=0.05) as executor,
        submitting(executor, gate, 100) as got,
    ):
        eventually(lambda: got and isinstance(got[-1], distexec.WindowFull))


def test_map_goes_through_any_number_of_inputs(gate: Gate) -> None:
    """It submits as room comes free; with a buffer it takes endless inputs."""
    gate.open()
    with pool(gate, max_waiting=2) as executor:
        assert list(executor.map(calls.square, range(100))) == [n * n for n in range(100)]
        assert list(executor.map(calls.square, range(100), chunksize=7))[-1] == 99 * 99
        endless = executor.map(calls.identity, itertools.count(), buffersize=10)
        assert list(itertools.islice(endless, 50)) == list(range(50))


def test_a_map_that_is_refused_leaves_nothing_waiting(gate: Gate) -> None:
    """Half of its results are of no use to anybody."""
    with pool(gate, max_waiting=3, submit_timeout=0) as executor:
        with pytest.raises(distexec.WindowFull):
            executor.map(calls.wait_for, [gate.path] * 100)

        assert executor.statistics().waiting == 0
        assert executor.statistics().cancelled >= 3


@pytest.mark.parametrize("how", ["shutdown", "cancel"])
def test_a_shutdown_ends_the_wait(gate: Gate, how: str) -> None:
    """Another thread ends the program; the one that submits must not keep it."""
    with pool(gate, max_waiting=3) as executor, submitting(executor, gate, 100) as got:
        eventually(lambda: is_blocked(executor))

        executor.shutdown(wait=False, cancel_futures=how == "cancel")

        eventually(lambda: isinstance(got[-1], RuntimeError))
        assert "after shutdown" in str(got[-1])


def test_an_interrupt_ends_the_wait(gate: Gate) -> None:
    """Ctrl-C is for the thread that waits."""
    with pool(gate, max_waiting=3) as executor:
        got: list[Any] = []
        main = threading.get_ident()

        def interrupt() -> None:
            eventually(lambda: is_blocked(executor))
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # nobody knows which submit waits
            while True:
                got.append(executor.submit(calls.wait_for, gate.path, 1))
        thread.join(20)

        gate.open()
        assert {future.result(timeout=20) for future in got} == {1}


def test_a_cancelled_call_makes_room(gate: Gate) -> None:
    """Its place is free at once."""
    with pool(gate, max_waiting=3) as executor, submitting(executor, gate, 100) as got:
        eventually(lambda: is_blocked(executor))
        before = len(got)

        assert got[-1].cancel()

        eventually(lambda: len(got) > before)


def test_callbacks_and_event_loops_never_wait(gate: Gate, tmp_path: Path) -> None:
    """What makes room runs behind them: they would wait for themselves."""
    with pool(gate, max_waiting=1, submit_timeout=0) as executor:
        more: list[Any] = []

        def submit_more(_: object) -> None:
            more.extend(executor.submit(calls.wait_for, gate.path, n) for n in range(20))

        first = executor.submit(calls.wait_for, tmp_path / "first")
        first.add_done_callback(submit_more)  # Called here, if it were done by now.
        (tmp_path / "first").touch()
        eventually(lambda: len(more) == 20)

        async def submit_on_a_loop() -> None:
            more.extend(executor.submit(calls.wait_for, gate.path, n) for n in range(20))

        asyncio.run(submit_on_a_loop())
        gate.open()
        assert [future.result(timeout=20) for future in more] == [*range(20)] * 2


def test_a_full_cluster_slows_submit_down_and_never_stops_it(gate: Gate) -> None:
    """With `max_waiting`, fewer may wait while the server is short of memory; one always may."""
    with (
        distexec.LocalCluster(1) as cluster,
        distexec.DistributedExecutor(
            1, cluster=cluster, max_waiting=500, submit_timeout=0
        ) as executor,
        contextlib.closing(Link(cluster.endpoint, Settings())) as operator,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(gate.open)
        futures = [executor.submit(calls.wait_for, gate.path, n) for n in range(20)]
        assert "server_memory" not in executor.statistics().throttled

        operator.call("SETRANGE", "theirs", 2**25, "x")  # A tenth of it is enough for the work.
        used = int(re.search(rb"used_memory:(\d+)", operator.call("INFO", "memory"))[1])  # type: ignore[index]
        operator.call("CONFIG", "SET", "maxmemory", used * 10 // 9)
        eventually(lambda: "server_memory" in executor.statistics().throttled, 20)
        with pytest.raises(distexec.WindowFull, match=r"full \(.*server_memory\)"):
            executor.submit(calls.wait_for, gate.path, 20)

        gate.open()  # What is done leaves room for the next, though nothing else has changed.
        assert [future.result(timeout=30) for future in futures] == list(range(20))
        assert executor.submit(calls.square, 3).result(timeout=20) == 9
        operator.call("CONFIG", "SET", "maxmemory", 0)
        eventually(lambda: "server_memory" not in executor.statistics().throttled, 20)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_waiting": 0}, ValueError),
        ({"max_waiting": 1.5}, TypeError),
        ({"submit_timeout": 1.0}, ValueError),
        ({"max_waiting": 3, "submit_timeout": float("nan")}, ValueError),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    """At once, and not by waiting for ever."""
    with pytest.raises(error):
        distexec.DistributedExecutor(cluster="threads", **options)
