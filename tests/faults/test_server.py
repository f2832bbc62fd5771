"""Rows 7 to 10 and 14 to 16: a server that dies, stalls, forgets, or has no room."""

import time
from collections.abc import Callable

import pytest

from conftest import eventually

from .rig import Rig
from .trial import Trial

MakeTrial = Callable[[str], Trial]


@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.full)])
def test_row_7_killed_with_its_data_kept(rig: Rig, trial: MakeTrial, kills: int) -> None:
    """A crash of a server with an append-only file: what had finished does not run again."""
    tried = trial("7")
    with rig.processes(4) as executor:
        for _ in range(kills):
            tried.submit(executor, 24, 0.15)
            tried.strike(rig.server.kill, least=4)
            rig.server.start()

        verdict = tried.verdict(within=kills * 10)

    assert verdict.hits == kills
    assert verdict.repeated == 0
    assert verdict.extra <= kills * 4


@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.full)])
def test_row_8_killed_with_its_data_lost(rig: Rig, trial: MakeTrial, kills: int) -> None:
    """A cache without persistence: the caller holds every call, and sends it again."""
    tried = trial("8")
    with rig.processes(4) as executor:
        for _ in range(kills):
            tried.submit(executor, 24, 0.15)
            tried.strike(rig.server.forget, least=4)
            rig.server.start()

        verdict = tried.verdict(within=kills * 10)

    assert verdict.hits == kills
    assert verdict.extra <= kills * 8, "more than was in flight"


@pytest.mark.parametrize("seconds", [2.5, pytest.param(20.0, marks=pytest.mark.full)])
def test_row_9_frozen(rig: Rig, trial: MakeTrial, seconds: float) -> None:
    """A machine that swaps: nobody answers, the connections stay, and then all goes on."""
    tried = trial("9")
    with rig.processes(4) as executor:
        tried.submit(executor, 24, 0.15)
        tried.strike(rig.server.freeze, least=4)
        frozen_at = time.monotonic()
        tried.submit(executor, 1, 0.15)
        assert time.monotonic() - frozen_at < seconds, "submit waits for the server"
        eventually(lambda: time.monotonic() - frozen_at > seconds, seconds + 1)
        rig.server.thaw()

        verdict = tried.verdict(within=seconds + 10)

    assert verdict.hits == 1
    assert verdict.repeated == 0 and verdict.extra <= 4


@pytest.mark.parametrize("floods", [2, pytest.param(10, marks=pytest.mark.full)])
def test_row_10_emptied(rig: Rig, trial: MakeTrial, floods: int) -> None:
    """FLUSHALL on the wrong machine: every call that had not ended is sent again."""
    tried = trial("10")
    with rig.processes(4) as executor:
        for _ in range(floods):
            tried.submit(executor, 24, 0.1)
            tried.strike(lambda: rig.ask("FLUSHALL"), least=4)

        verdict = tried.verdict(within=floods * 10)

    assert verdict.hits == floods
    assert verdict.extra <= floods * 8
