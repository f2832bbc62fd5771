"""Calls tell how far they are, and programs show how much is done."""

import builtins
import io
import os
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import distexec
from conftest import eventually
from distexec import progress as bars
from distexec.worker.progress import REPORT_SECONDS


@pytest.fixture(params=["threads", None], ids=["twin", "embedded"], scope="module")
def executor(request: pytest.FixtureRequest) -> Iterator[distexec.DistributedExecutor]:
    """An executor of each kind."""
    with distexec.DistributedExecutor(2, cluster=request.param) as executor:
        yield executor


def work(gate: Path) -> str:
    """Report half, wait, report the end."""
    distexec.report_progress(1, 2, "half")
    eventually(gate.exists, timeout=60)
    distexec.report_progress(2, 2, "all")
    return "done"


def report_often(count: int) -> int:
    """Report at each step of a tight loop."""
    for step in range(count):
        distexec.report_progress(step + 1, count)
    return count


def square(number: int) -> int:
    return number * number


def test_progress_of_a_running_call_is_seen(
    executor: distexec.DistributedExecutor, tmp_path: Path
) -> None:
    """An hour is long without a word."""
    gate, seen = tmp_path / "gate", []
    future = executor.submit(work, gate)
    future.add_progress_callback(lambda each: seen.append(each.progress()))

    eventually(lambda: future.progress() == distexec.Progress(1, 2, "half"), timeout=30)
    assert not future.done()
    gate.touch()

    assert future.result(timeout=30) == "done"
    eventually(lambda: future.progress() == distexec.Progress(2, 2, "all"))
    eventually(lambda: seen and seen[-1] == (2, 2, "all"))


def test_tight_loop_sends_few_reports(executor: distexec.DistributedExecutor) -> None:
    """A function that reports each of its steps must not flood its caller; the last one counts."""
    calls: list[Any] = []
    future = executor.submit(report_often, 20_000)
    future.add_progress_callback(calls.append)

    assert future.result(timeout=60) == 20_000

    eventually(lambda: future.progress() == (20_000, 20_000, ""))
    assert len(calls) < 2 + 60 / REPORT_SECONDS


def test_callback_that_raises_is_logged(
    executor: distexec.DistributedExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """As with done-callbacks: a mistake there harms no call."""

    def fail(_: object) -> None:
        raise ValueError("in a callback")

    future = executor.submit(report_often, 1)
    future.add_progress_callback(fail)

    assert future.result(timeout=30) == 1
    if future.progress():  # It may have been told before the callback was there.
        eventually(lambda: "exception calling callback" in caplog.text or not caplog.records)


def test_outside_of_calls_nothing_happens() -> None:
    """The same function runs in a test, or on a plain pool."""
    assert distexec.report_progress(1, 2) is None
    with pytest.raises(TypeError, match="finite numbers"):
        distexec.report_progress("1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="finite numbers"):
        distexec.report_progress(1, float("nan"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal as stderr, and neither rich nor tqdm."""
    terminal, imports = Terminal(), builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] in ("rich", "tqdm"):
            raise ImportError(name)
        return imports(name, *rest)

    monkeypatch.setattr(bars, "sys", types.SimpleNamespace(stderr=terminal))
    monkeypatch.setattr(builtins, "__import__", refuse)
    return terminal


def test_bar_counts_what_is_done(executor: distexec.DistributedExecutor, plain: Terminal) -> None:
    """Inputs are what people know the number of; `map` and `as_completed` give what they give."""
    assert list(executor.map(square, range(5), progress=True)) == [0, 1, 4, 9, 16]
    assert "5/5" in plain.getvalue()

    assert list(executor.map(square, range(6), chunksize=4, progress=True))[-1] == 25
    assert "6/6" in plain.getvalue()

    assert sorted(executor.map(square, iter([1, 2]), progress=True)) == [1, 4]
    assert "\r2  " in plain.getvalue()

    futures = [executor.submit(square, n) for n in range(3)]
    assert {future.result() for future in distexec.as_completed(futures, progress=True)} == {
        0,
        1,
        4,
    }
    assert "3/3" in plain.getvalue()


def test_bar_ends_with_an_error(executor: distexec.DistributedExecutor, plain: Terminal) -> None:
    """The traceback begins on a line of its own."""
    with pytest.raises(TypeError):
        list(executor.map(square, [1, "a"], progress=True))

    assert plain.getvalue().endswith("\n")


def test_nothing_is_shown_where_nobody_looks(
    executor: distexec.DistributedExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    """A log full of bars is no log."""
    assert list(executor.map(square, range(3), progress=True)) == [0, 1, 4]

    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("module", ["rich", "tqdm"])
def test_better_bars_are_used_if_they_are_there(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has installed one has chosen how bars look."""
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)  # No thread that stays.
    terminal = Terminal()
    bar = {"rich": bars._Rich, "tqdm": bars._Tqdm}[module](2, "title", terminal)
    bar.advance(2)
    bar.close()

    assert "title" in terminal.getvalue()


def test_as_completed_is_the_standard_librarys_otherwise() -> None:
    """Order, timeouts, mixtures with foreign futures: nothing of ours is in the way."""
    future: Any = distexec.Future()
    event = threading.Event()
    waiting: Callable[..., Any] = distexec.as_completed
    with pytest.raises(TimeoutError, match="1 \\(of 1\\) futures unfinished"):
        list(waiting([future, future], timeout=0))
    future.add_done_callback(lambda _: event.set())
    future.set_result(os.getpid())
    assert event.is_set()
    assert list(waiting([future])) == [future]
