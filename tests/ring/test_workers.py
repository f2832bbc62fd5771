"""Where calls run: in a Celery pool's children, which may die, and are prepared once."""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

import distexec
from conftest import eventually
from distexec.settings import Settings
from distexec.store import keys
from distexec.store.link import Link
from properties import calls

from . import deeds
from .conftest import Gate


@contextmanager
def operator(cluster: distexec.LocalCluster) -> Iterator[Link]:
    """A connection to the cluster's server."""
    link = Link(cluster.endpoint, Settings())
    try:
        yield link
    finally:
        link.close()


def count(link: Link, section: str, name: str) -> int:
    """A number out of the server's statistics; 0 if it has none of that name."""
    for line in link.call("INFO", section).decode().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.partition(",")[0].rpartition("=")[2])
    return 0


# In a Celery pool's child -----------------------------------------------------------------------


@pytest.mark.sources
def test_calls_run_in_a_child_of_celerys_pool(two_slots: distexec.LocalCluster) -> None:
    """Inside the task ``distexec.lease``: the node's process is above it, and its supervisor."""
    with distexec.DistributedExecutor(1, cluster=two_slots) as executor:
        parents, stack, on_main_thread = executor.submit(deeds.whereabouts).result(timeout=20)

        supervisor = two_slots._keeper._node.pid  # type: ignore[union-attr]
        assert parents[1] == supervisor
        assert parents.index(psutil.Process().pid) > 1
    files = "\n".join(stack)
    order = ["billiard/pool.py", "celery/app/trace.py", "engine/lease.py", "worker/run.py"]
    places = [files.find(name) for name in order]
    assert -1 not in places and places == sorted(places), files
    assert on_main_thread


def test_a_thousand_calls_are_a_few_celery_messages(two_slots: distexec.LocalCluster) -> None:
    """Celery lends the slots; the calls stream through them."""
    with (
        operator(two_slots) as link,
        distexec.DistributedExecutor(2, cluster=two_slots) as executor,
    ):
        before = count(link, "commandstats", "cmdstat_lpush")

        assert sum(executor.map(calls.identity, range(1000))) == 499500

        messages = count(link, "commandstats", "cmdstat_lpush") - before
        assert 1 <= messages < 20


def test_no_slot_is_woken_for_an_executor_that_would_not_admit_it(
    two_slots: distexec.LocalCluster, gate: Gate, tmp_path: Path
) -> None:
    """One lease runs as many calls as may run: a slot that comes free later is left alone."""
    first = Gate(tmp_path / "first")
    with (
        operator(two_slots) as link,
        distexec.DistributedExecutor(4, cluster=two_slots, threads=True) as executor,
        ExitStack() as stack,
    ):
        stack.callback(gate.open)
        with distexec.DistributedExecutor(1, cluster=two_slots) as busy:
            stack.callback(first.open)
            eventually(busy.submit(calls.wait_for, first.path).running)
            futures = [executor.submit(calls.wait_for, gate.path) for _ in range(4)]
            eventually(lambda: all(future.running() for future in futures))
            first.open()

        def looks() -> int:
            """How often it has looked at its leases; before Redis 7 in one figure with others."""
            names = ("cmdstat_xinfo|consumers", "cmdstat_xinfo")
            return sum(count(link, "commandstats", name) for name in names)

        looked, woken = looks(), count(link, "commandstats", "cmdstat_lpush")

        # Twice in each beat; and what nobody answers it repeats twice a second.
        in_two_seconds = round(2 * 2.0 / Settings.from_environment().beat_seconds)
        eventually(lambda: looks() > looked + in_two_seconds)

        assert count(link, "commandstats", "cmdstat_lpush") - woken <= 1
        assert executor.statistics().leases == 1


def test_idle_slots_of_a_full_executor_are_not_asked_for(
    two_slots: distexec.LocalCluster, gate: Gate, tmp_path: Path
) -> None:
    """Two leases are all that it may have; with one call left it wants one, and others may come."""
    first = Gate(tmp_path / "first")
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor, ExitStack() as stack:
        stack.callback(gate.open)
        futures = [executor.submit(calls.wait_for, each.path) for each in (first, gate)]
        stack.callback(first.open)
        channel = executor._channel
        assert channel is not None
        eventually(lambda: channel.is_full and all(future.running() for future in futures))
        assert [demand.wanted for demand in channel.asked.values()] == [2]

        first.open()
        futures[0].result(timeout=20)
        with channel.sending:  # As twice in each beat: now, while both leases are still there.
            channel.session.dispatcher.ask(channel, *channel.asked, again=True)
            wanted = [demand.wanted for demand in channel.asked.values()]

        assert wanted == [1]


def test_a_function_travels_once(two_slots: distexec.LocalCluster) -> None:
    """A closure over 200 KB, called a thousand times, is 200 KB and not 200 MB."""
    ballast = bytes(range(256)) * 800
    add_length = lambda n: n + len(ballast)
    with (
        operator(two_slots) as link,
        distexec.DistributedExecutor(2, cluster=two_slots) as executor,
    ):
        before = count(link, "stats", "total_net_input_bytes")

        assert list(executor.map(add_length, range(1000))) == list(range(204800, 205800))

        bytes_sent = count(link, "stats", "total_net_input_bytes") - before
        assert len(ballast) < bytes_sent < len(ballast) + 1000 * 2000
        ref = executor._channel.ref  # type: ignore[union-attr]
        functions = f"dx:{{{ref.session}}}:{ref.executor}:functions"
        assert link.call("HLEN", functions) == 1
        # And to each worker once.
        fetched = count(link, "commandstats", "cmdstat_hget")
        list(executor.map(add_length, range(100)))
        assert count(link, "commandstats", "cmdstat_hget") - fetched <= 2


def test_the_newest_function_of_a_name_is_called(two_slots: distexec.LocalCluster) -> None:
    """A notebook's cell is run again, with a repaired function."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        results = []
        for version in range(5):
            versioned = lambda version=version: version
            results += [executor.submit(versioned).result(timeout=20)]

    assert results == list(range(5))


# Prepared once ----------------------------------------------------------------------------------


def test_initializers_run_once_per_process_and_executor(
    two_slots: distexec.LocalCluster, ledger: str
) -> None:
    """They open connections, load models: once, however often leases come and go."""

    def use(word: str) -> None:
        with distexec.ProcessPoolExecutor(
            2, cluster=two_slots, initializer=deeds.note_pid, initargs=(ledger, word)
        ) as executor:
            for _ in range(3):
                list(executor.map(calls.sleep_then, [0.01] * 10))
            executor.submit(deeds.note_pid, ledger, f"call-{word}").result(timeout=20)

    use("one")
    use("other")

    lines = calls.read_ledger(ledger)
    prepared = Counter(line for line in lines if not line.startswith("call-"))
    assert set(prepared.values()) == {1}
    for word in ("one", "other"):
        ran = next(line for line in lines if line.startswith(f"call-{word} "))
        assert ran.removeprefix("call-") in prepared, "a call ran in a process without initializer"


def test_a_failing_initializer_breaks_its_executor(two_slots: distexec.LocalCluster) -> None:
    """As the standard says: what waits fails, later submits are refused, and others go on."""
    with distexec.DistributedExecutor(2, cluster=two_slots, initializer=calls.raise_rich) as broken:
        with pytest.raises(BrokenProcessPool, match="initializer failed") as caught:
            broken.submit(calls.nothing).result(timeout=20)
        with pytest.raises(BrokenProcessPool):
            broken.submit(calls.nothing)
    assert isinstance(caught.value.__cause__, calls.Rich)
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        assert executor.submit(calls.square, 3).result(timeout=20) == 9


# Lost -------------------------------------------------------------------------------------------


def test_a_killed_process_is_replaced_and_its_call_runs_again(
    four_slots: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """At once: its node sees it die. The calls of other processes do not notice."""
    with distexec.ProcessPoolExecutor(4, cluster=four_slots) as executor:
        futures = [executor.submit(deeds.noted_wait, ledger, gate.path, n) for n in range(4)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 4)
        eventually(lambda: all(future.running() for future in futures))
        pid = int(next(line.split()[1] for line in calls.read_ledger(ledger) if line[0] == "2"))
        began = time.monotonic()

        psutil.Process(pid).send_signal(signal.SIGKILL)

        eventually(lambda: len(calls.read_ledger(ledger)) == 5)
        assert time.monotonic() - began < 3
        gate.open()
        assert [future.result(timeout=20) for future in futures] == [0, 1, 2, 3]
        starts = Counter(line.split()[0] for line in calls.read_ledger(ledger))
        assert starts == {"0": 1, "1": 1, "2": 2, "3": 1}
        assert executor.statistics().retried == 1


def test_calls_taken_by_a_dead_process_and_not_started_are_not_lost(
    two_slots: distexec.LocalCluster, tmp_path: str, ledger: str
) -> None:
    """Only the one that ran is a suspect; the rest of the batch moves on and completes."""
    marker = f"{tmp_path}/marker"
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        list(executor.map(calls.identity, range(200)))
        before = [executor.submit(calls.identity, n) for n in range(50)]
        dying = executor.submit(calls.die_once, marker, ledger)
        after = [executor.submit(calls.identity, n) for n in range(50)]

        assert dying.result(timeout=25) == "survived"
        assert [future.result(timeout=25) for future in before + after] == [*range(50)] * 2
    assert calls.read_ledger(ledger) == ["start", "start"]


def test_a_call_that_kills_each_worker_is_given_up(
    two_slots: distexec.LocalCluster, ledger: str
) -> None:
    """After three processes, with the story of each; innocent calls all complete."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        innocent = [executor.submit(calls.sleep_then, 0.01, n) for n in range(30)]
        guilty = executor.submit(deeds.die_always, ledger)
        error = guilty.exception(timeout=28)

        assert isinstance(error, distexec.WorkerLost)
        assert isinstance(error, BrokenProcessPool)
        assert "die_always" in str(error) and str(error).count("SIGKILL") == 3
        assert len(error.attempts) == 3
        assert all(two_slots.node in story and "process" in story for story in error.attempts)
        assert [future.result(timeout=20) for future in innocent] == list(range(30))
        assert calls.read_ledger(ledger) == ["start"] * 3
        assert executor.submit(calls.square, 3).result(timeout=20) == 9


def test_a_call_that_exits_says_so(two_slots: distexec.LocalCluster) -> None:
    """``os._exit`` in a library is found by its code."""
    with distexec.DistributedExecutor(1, cluster=two_slots) as executor:
        error = executor.submit(deeds.exit_always, 7).exception(timeout=28)

    assert isinstance(error, distexec.WorkerLost)
    assert "exited with code 7" in str(error)


def test_several_calls_that_kill_do_not_hurt_each_other(
    four_slots: distexec.LocalCluster, ledger: str
) -> None:
    """Each is blamed for its own three deaths, and nobody for those of a neighbour."""
    with distexec.ThreadPoolExecutor(8, cluster=four_slots) as executor:
        guilty = [executor.submit(deeds.die_always, ledger) for _ in range(3)]
        innocent = [executor.submit(calls.sleep_then, 0.05, n) for n in range(20)]

        assert [future.result(timeout=40) for future in innocent] == list(range(20))
        assert all(isinstance(f.exception(timeout=40), distexec.WorkerLost) for f in guilty)


# Nothing is left --------------------------------------------------------------------------------


def test_an_executor_leaves_no_key_no_thread_and_no_descriptor(
    two_slots: distexec.LocalCluster,
) -> None:
    """A server that makes an executor per request runs for months."""
    process = psutil.Process()

    def use() -> None:
        with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
            list(executor.map(calls.identity, range(20)))

    use()
    with operator(two_slots) as link:
        before = process.num_fds(), set(threading.enumerate())

        for _ in range(5):
            use()

        def is_clean() -> bool:
            assert (process.num_fds(), set(threading.enumerate())) == before
            found = [key.decode() for key in link.call("KEYS", "dx:*")]
            assert [key for key in found if not key.startswith(keys.OUTLIVING)] == []
            return True

        eventually(is_clean)


def test_statistics_add_up(two_slots: distexec.LocalCluster) -> None:
    """They are the instrument panel: every call is in one place."""
    with distexec.DistributedExecutor(2, cluster=two_slots) as executor:
        futures = [executor.submit(calls.square_slowly, n, 0.0) for n in range(-5, 15)]
        for future in futures:
            future.exception(timeout=20)
        seen = executor.statistics()

    assert (seen.done, seen.failed, seen.cancelled) == (15, 5, 0)
    assert (seen.waiting, seen.sent, seen.running) == (0, 0, 0)
    assert seen.run_p50 is not None and seen.run_p95 is not None
    assert json.dumps(seen.queues) == "[]"
