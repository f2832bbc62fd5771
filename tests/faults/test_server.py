"""Rows 7 to 10 and 14 to 16: a server that dies, stalls, forgets, or has no room."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import eventually

from .rig import PERSISTENT, Rig, running_rig
from .trial import Trial

MakeTrial = Callable[[str], Trial]


@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.full)])
def test_row_7_killed_with_its_data_kept(tmp_path: Path, trial: MakeTrial, kills: int) -> None:
    """A crash of a server with an append-only file: what had finished does not run again."""
    with running_rig(tmp_path, *PERSISTENT) as rig:
        nodes = rig.two_nodes()
        tried = trial("7")
        with rig.processes(4) as executor:
            for _ in range(kills):
                tried.submit(executor, 40, 0.2)
                tried.strike(rig.server.kill, least=4)
                rig.server.start()

            verdict = tried.verdict(within=kills * 10)

        assert verdict.hits == kills
        assert verdict.repeated == 0
        assert verdict.extra <= kills * 4
        assert all(node.process.poll() is None for node in nodes)


@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.full)])
def test_row_8_killed_with_its_data_lost(rig: Rig, trial: MakeTrial, kills: int) -> None:
    """A cache without persistence: the caller holds every call, and sends it again."""
    nodes = rig.two_nodes()
    tried = trial("8")
    with rig.processes(4) as executor:
        for _ in range(kills):
            tried.submit(executor, 40, 0.2)
            tried.strike(rig.server.kill, least=4)
            rig.server.start()

        verdict = tried.verdict(within=kills * 10)

    assert verdict.hits == kills
    assert verdict.extra <= kills * 8, "more than was in flight"
    assert all(node.process.poll() is None for node in nodes)


@pytest.mark.parametrize("seconds", [3.0, pytest.param(20.0, marks=pytest.mark.full)])
def test_row_9_frozen(tmp_path: Path, trial: MakeTrial, seconds: float) -> None:
    """A machine that swaps: nobody answers, the connections stay, and then all goes on."""
    with running_rig(tmp_path, connect_seconds=1, unavailable_seconds=60) as rig:
        rig.two_nodes()
        tried = trial("9")
        with rig.processes(4) as executor:
            tried.submit(executor, 40, 0.2)
            tried.strike(rig.server.freeze, least=4)
            began = time.monotonic()
            tried.submit(executor, 1, 0.2)
            assert time.monotonic() - began < seconds / 2, "submit waits for the server"
            eventually(lambda: time.monotonic() - began > seconds, seconds + 1)
            rig.server.thaw()

            verdict = tried.verdict(within=seconds + 10)

    assert verdict.hits == 1
    assert verdict.extra <= 4


@pytest.mark.parametrize("floods", [2, pytest.param(10, marks=pytest.mark.full)])
def test_row_10_emptied(rig: Rig, trial: MakeTrial, floods: int) -> None:
    """FLUSHALL on the wrong machine: every call that had not ended is sent again."""
    rig.two_nodes()
    tried = trial("10")
    with rig.processes(4) as executor:
        for _ in range(floods):
            tried.submit(executor, 40, 0.1)
            tried.strike(lambda: rig.ask("FLUSHALL"), least=4)

        verdict = tried.verdict(within=floods * 10)

    assert verdict.hits == floods
    assert verdict.extra <= floods * 8
