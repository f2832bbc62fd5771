"""Rule 9: callbacks run in order, away from the collector, and one that blocks gets help."""

import threading
from collections.abc import Iterator

import pytest

from conftest import eventually
from distexec.client import callbacks
from distexec.client.callbacks import CallbackRunner


@pytest.fixture
def runner() -> Iterator[CallbackRunner]:
    """A runner whose threads end with the test."""
    runner = CallbackRunner()
    yield runner
    runner.close()


def test_callbacks_run_in_the_order_in_which_they_came(runner: CallbackRunner) -> None:
    """Progress bars count, logs tell a story."""
    ran: list[int] = []
    done = threading.Event()
    for number in range(100):
        runner.add(lambda number=number: ran.append(number))  # type: ignore[misc]
    runner.add(done.set)

    assert done.wait(10)
    assert ran == list(range(100))


def test_no_thread_is_started_before_the_first_callback(runner: CallbackRunner) -> None:
    """Most programs have none."""
    assert not runner._threads
    assert not runner.is_mine()


def test_a_callback_that_waits_for_another_gets_help(runner: CallbackRunner) -> None:
    """A callback may submit and wait; the one that it waits for must not sit behind it."""
    later, both = threading.Event(), threading.Event()

    def first() -> None:
        assert later.wait(10)
        both.set()

    runner.add(first)
    runner.add(later.set)
    eventually(lambda: not runner.help_if_stuck() or both.is_set())

    assert both.wait(10)


def test_a_short_queue_of_callbacks_needs_one_thread(runner: CallbackRunner) -> None:
    """Help is for callbacks that block, not for many of them."""
    threads: set[int] = set()
    done = threading.Event()
    for _ in range(200):
        runner.add(lambda: threads.add(threading.get_ident()))
    runner.add(done.set)

    assert done.wait(10)
    assert len(threads) == 1


def test_helpers_are_bounded(runner: CallbackRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks that all block for ever must not fill the process with threads."""
    monkeypatch.setattr(callbacks, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(callbacks, "MOST_THREADS", 4)
    gate, running = threading.Event(), threading.Semaphore(0)

    def block() -> None:
        running.release()
        gate.wait(10)

    for _ in range(10):
        runner.add(block)

    def help_all() -> bool:
        runner.help_if_stuck()
        return len(runner._threads) == 4

    eventually(help_all)
    for _ in range(100):
        assert runner.help_if_stuck()
    assert len(runner._threads) == 4
    gate.set()
    eventually(lambda: not runner.help_if_stuck())


def test_a_callback_knows_that_it_is_one(runner: CallbackRunner) -> None:
    """`shutdown` from a callback must not wait for that callback."""
    answers: list[bool] = []
    runner.add(lambda: answers.append(runner.is_mine()))

    eventually(lambda: answers == [True])


def test_what_is_there_runs_after_the_close() -> None:
    """A callback that was promised is called, also when the session ends."""
    runner = CallbackRunner()
    ran: list[int] = []
    for number in range(50):
        runner.add(lambda number=number: ran.append(number))  # type: ignore[misc]

    runner.close()

    eventually(lambda: ran == list(range(50)))
    eventually(lambda: not runner._threads)
