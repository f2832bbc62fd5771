"""Rows 7 to 10 and 14 to 16: a server that dies, stalls, forgets, or has no room."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import eventually

from .rig import PERSISTENT, Rig, running_rig
from .trial import Trial

MakeTrial = Callable[[str], Trial]

#: Seconds that keys live in these tests without their caller: conftest.py.
KEY_SECONDS = 8


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

    assert verdict.hits == 1 and verdict.extra <= 4
    # Keys expire while a server is frozen, too: what had ended in a longer time is forgotten.
    assert verdict.repeated == 0 or seconds > KEY_SECONDS


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


@pytest.mark.parametrize("seconds", [1.5, pytest.param(10.0, marks=pytest.mark.full)])
def test_row_14_out_of_memory(rig: Rig, trial: MakeTrial, seconds: float) -> None:
    """The server refuses every write for a while; it is an outage, and nobody dies of it."""
    mains = rig.main_pid("n1"), rig.main_pid("n2")
    tried = trial("14")
    with rig.processes(4) as executor:
        tried.submit(executor, 24, 0.15)
        tried.strike(lambda: rig.ask("CONFIG", "SET", "maxmemory", "1"), least=4)
        full_at = time.monotonic()
        tried.submit(executor, 4, 0.15)
        eventually(lambda: time.monotonic() - full_at > seconds, seconds + 1)
        rig.ask("CONFIG", "SET", "maxmemory", "0")

        verdict = tried.verdict(within=seconds + 15)

    assert (rig.main_pid("n1"), rig.main_pid("n2")) == mains
    assert verdict.extra <= 8


def test_row_16_disk_full(tmp_path: Path, trial: MakeTrial) -> None:
    """An append-only file that cannot grow: writes are refused until there is room again."""
    with running_rig(tmp_path, *PERSISTENT, linger_seconds=20, unavailable_seconds=60) as rig:
        rig.start_nodes("n1", slots=4)
        tried = trial("16")
        with rig.processes(4) as executor:
            tried.submit(executor, 24, 0.15)
            tried.strike(rig.server.fill_disk, least=4)
            eventually(lambda: "MISCONF" in rig.server.address.command("SET other 1"), 20)
            tried.submit(executor, 4, 0.15)
            rig.server.free_disk()

            verdict = tried.verdict(within=30)

        assert verdict.hits == 1
        assert verdict.extra <= 8
