"""Rows 5, 6 and 23: callers that sleep, that vanish, and many at a time."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.rig import PATHS
from conftest import eventually

from .ledger import Ledger
from .rig import Rig
from .trial import Trial

MakeTrial = Callable[[str], Trial]

#: Seconds after which these callers count as gone, and after which their keys do.
SESSION_SECONDS, KEY_SECONDS = 1.5, 6.0


@contextlib.contextmanager
def caller(
    rig: Rig, ledger: Ledger, count: int, seconds: float, **settings: float
) -> Iterator["subprocess.Popen[str]"]:
    """A program that submits calls and waits for them; gone at the end of the block."""
    environment = {f"DISTEXEC_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.program", rig.url(), ledger.path, str(count), str(seconds)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PATHS), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def outcome(process: "subprocess.Popen[str]", timeout: float) -> dict[str, Any]:
    """What the program says at its end."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


@pytest.mark.parametrize("seconds", [3.0, pytest.param(30.0, marks=pytest.mark.full)])
def test_row_5_caller_sleeps(rig: Rig, trial: MakeTrial, seconds: float) -> None:
    """A laptop is closed: its session runs out, and when it wakes up all results are there."""
    tried = trial("5")
    lives = {"session_expiry_seconds": SESSION_SECONDS, "key_expiry_seconds": 60}
    with caller(rig, tried.ledger, 40, 0.1, **lives) as process:
        tried.strike(lambda: process.send_signal(signal.SIGSTOP), least=4)
        stopped_at = time.monotonic()
        eventually(lambda: time.monotonic() - stopped_at > seconds, seconds + 1)
        process.send_signal(signal.SIGCONT)
        tried.take(outcome(process, 60)["results"])

    assert tried.verdict(within=1).extra == 0


def test_row_6_caller_vanishes(rig: Rig, trial: MakeTrial) -> None:
    """Nobody waits for its calls any more: they stop, the slots are free, and its keys go."""
    tried = trial("6")
    lives = {"session_expiry_seconds": SESSION_SECONDS, "key_expiry_seconds": KEY_SECONDS}
    with caller(rig, tried.ledger, 400, 0.2, **lives) as process:
        tried.strike(process.kill, least=4)
    killed_at = time.monotonic()

    other = trial("6 other")
    with rig.processes(4) as executor:
        other.submit(executor, 8, 0.05)
        assert other.verdict(within=SESSION_SECONDS + 5).extra == 0
    eventually(lambda: rig.own_keys() == [], KEY_SECONDS + 20)
    starts = [at for times in tried.ledger.read().started_at.values() for at in times]
    assert len(starts) < 100
    tried.abandoned()
    assert max(starts) - killed_at < KEY_SECONDS + 10


@pytest.mark.parametrize(
    ("callers", "calls"), [(3, 30), pytest.param(20, 500, marks=pytest.mark.full)]
)
def test_row_23_many_callers(rig: Rig, trial: MakeTrial, callers: int, calls: int) -> None:
    """They share the slots: each gets on, and none waits until the others are done."""
    trials = [trial(f"23 {number}") for number in range(callers)]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(caller(rig, tried.ledger, calls, 0.01)) for tried in trials
        ]
        outcomes = [outcome(process, 110) for process in processes]
    for tried, told in zip(trials, outcomes, strict=True):
        tried.take(told["results"])
        assert tried.verdict(within=1).extra == 0
    if callers > 10:
        times = [told["seconds"] for told in outcomes]
        assert max(times) / min(times) < 3
