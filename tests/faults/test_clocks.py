"""Row 17: clocks that are wrong, or jump."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

import cluster.rig

from .rig import Rig
from .trial import Trial

MakeTrial = Callable[[str], Trial]

#: Loaded by each interpreter that finds it: all Python code of a node believes that clock.
WRONG_CLOCK = """
import os, time
_shift, _rate = float(os.environ["WRONG_BY"]), float(os.environ["WRONG_RATE"])
_began, _time, _time_ns = time.time(), time.time, time.time_ns
time.time = lambda: _time() + _shift + (_time() - _began) * _rate
time.time_ns = lambda: _time_ns() + int((_shift + (_time() - _began) * _rate) * 1e9)
"""


def test_row_17_wrong_clocks(
    rig: Rig, trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node an hour ahead, one an hour behind and drifting, a caller on another day: no matter."""
    (tmp_path / "sitecustomize.py").write_text(WRONG_CLOCK)
    monkeypatch.setattr(cluster.rig, "PATHS", [str(tmp_path), *cluster.rig.PATHS])
    for name, shift, rate in (("ahead", 3600, 0.0), ("behind", -3600, -0.1)):
        monkeypatch.setenv("WRONG_BY", str(shift))
        monkeypatch.setenv("WRONG_RATE", str(rate))
        rig.start_nodes(name, queue="time", slots=2)
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + 86400)
    tried = trial("17")
    with rig.processes(4, queue="time") as executor:
        tried.submit(executor, 40, 0.1)
        shifts = [executor.submit(seconds_off, right()) for _ in range(8)]
        tried.hits = sum(abs(shift.result(timeout=60)) > 3000 for shift in shifts)

        verdict = tried.verdict(within=10)

    assert verdict.hits == 8, "a clock was right"
    assert verdict.extra == 0


def seconds_off(now: float) -> float:
    """How wrong this process's clock is."""
    return time.time() - now
