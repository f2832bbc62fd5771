"""Executors of one process share a session per cluster; a forked child starts with none."""

import os
import threading

import distexec
from conftest import eventually
from distexec.client import registry
from properties import calls


def sessions() -> set[object]:
    return set(registry._registry.sessions.values())


def test_executors_of_one_cluster_share_a_session() -> None:
    """One pair of threads and connections, however many executors a program makes."""
    with (
        distexec.DistributedExecutor(1, cluster="threads") as one,
        distexec.DistributedExecutor(2, cluster="threads") as other,
    ):
        assert one.submit(calls.square, 2).result(timeout=10) == 4
        assert other.submit(calls.square, 3).result(timeout=10) == 9

        names = [thread.name for thread in threading.enumerate()]
        assert len(sessions()) == 1
        assert names.count("distexec-dispatcher") == names.count("distexec-collector") == 1
    eventually(lambda: not sessions())


def test_a_closed_session_is_followed_by_another() -> None:
    """The last executor ends the session; the next one begins a new one, at once."""
    seen = set()
    for _ in range(10):
        with distexec.DistributedExecutor(1, cluster="threads") as executor:
            executor.submit(calls.nothing).result(timeout=10)
            seen.add(executor._channel.session.name)  # type: ignore[union-attr]

    assert len(seen) == 10
    eventually(lambda: not sessions())


def test_many_threads_make_and_end_executors_at_once() -> None:
    """Sessions open and close under each other's hands; no executor gets one that is closing."""
    results: list[int] = []

    def use() -> None:
        for number in range(15):
            with distexec.DistributedExecutor(1, cluster="threads") as executor:
                results.append(executor.submit(calls.square, number).result(timeout=20))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(results) == sorted(n * n for n in range(15) for _ in range(6))
    eventually(lambda: not sessions())


def test_a_forked_child_has_no_sessions() -> None:
    """It has our objects and none of our threads: it opens sessions of its own."""
    with distexec.DistributedExecutor(1, cluster="threads") as executor:
        executor.submit(calls.nothing).result(timeout=10)
        read_end, write_end = os.pipe()
        # What the newest Pythons warn of, fork beside threads, is the case that is tested.
        child = os.fork()
        if child == 0:
            os.write(write_end, b"%d" % len(sessions()))
            os._exit(0)
        os.waitpid(child, 0)
        answer = os.read(read_end, 10)
        os.close(read_end)
        os.close(write_end)

        assert answer == b"0"
        assert len(sessions()) == 1
        assert executor.submit(calls.square, 3).result(timeout=10) == 9
