"""Rows 1 to 4: children and nodes that die, freeze, and wake up again."""

import random
import time
from collections.abc import Callable

import psutil
import pytest

from conftest import eventually
from distexec.store.keys import GROUP

from .rig import Rig, kill
from .trial import Trial

#: Seconds that a node may be silent in these tests: tests/conftest.py.
EXPIRY_SECONDS = 2.0

MakeTrial = Callable[[str], Trial]


@pytest.mark.parametrize(
    ("calls", "kills"), [(60, 4), pytest.param(2000, 60, marks=pytest.mark.full)]
)
def test_row_1_killed_children(rig: Rig, trial: MakeTrial, calls: int, kills: int) -> None:
    """A segfault, the kernel's out-of-memory killer: the call that ran there runs once more."""
    tried = trial("1")
    with rig.processes(4) as executor:
        tried.submit(executor, calls, 0.1)
        victims = set()
        for _ in range(kills):
            # One that was not struck before: three strikes are the call's own fault.
            fresh = eventually(
                lambda: [run for run in tried.running() if tried.ledger.starts[run.number] == 1]
            )
            victim = random.choice(fresh)
            tried.strike(lambda pid=victim.pid: kill(pid))
            eventually(lambda pid=victim.pid: not psutil.pid_exists(pid))
            victims.add(victim.number)

        verdict = tried.verdict(within=calls * 0.1)

    assert verdict.hits == kills == len(victims)
    assert kills // 2 <= verdict.extra <= kills


@pytest.mark.parametrize(
    ("calls", "kills"), [(80, 2), pytest.param(2000, 10, marks=pytest.mark.full)]
)
def test_row_2_killed_main_process(rig: Rig, trial: MakeTrial, calls: int, kills: int) -> None:
    """Celery's own process dies: its supervisor starts another, and no call waits for ever."""
    tried = trial("2")
    with rig.processes(4) as executor:
        tried.submit(executor, calls, 0.1)
        for _ in range(kills):
            main = rig.main_pid("n1")
            tried.strike(lambda pid=main: kill(pid), least=4)
            eventually(lambda pid=main: rig.main_pid("n1") != pid, 20)

        verdict = tried.verdict(within=calls * 0.15 + kills * 3 * EXPIRY_SECONDS)

    assert verdict.hits == kills
    assert verdict.extra <= kills * 2


@pytest.mark.parametrize("seconds", [0.0, pytest.param(30.0, marks=pytest.mark.full)])
def test_row_3_frozen_and_thawed(rig: Rig, trial: MakeTrial, seconds: float) -> None:
    """A virtual machine is moved: its calls go elsewhere, and what it says later does no harm."""
    asleep = rig.children("n1")
    tried = trial("3")
    with rig.processes(4) as executor:
        tried.submit(executor, 40, 0.2)
        tried.strike(lambda: rig.freeze("n1"), least=4)
        thawed_at = time.monotonic() + seconds
        struck = [run for run in tried.running() if run.pid in asleep]
        eventually(lambda: all(tried.ledger.read().starts[run.number] == 2 for run in struck), 20)
        eventually(lambda: time.monotonic() > thawed_at, seconds + 1)
        rig.thaw("n1")

        verdict = tried.verdict(within=40 * 0.1 + seconds)

    assert 1 <= len(struck) <= 2 and verdict.extra == len(struck)


def test_row_4_killed_while_it_waits(rig: Rig, trial: MakeTrial) -> None:
    """The server hands a call to a node that is frozen, and then dies: nobody ever saw the call."""
    rig.start_nodes("victim", "heir", queue="risky")
    rig.freeze("heir")
    tried = trial("4")

    def is_handed_to_the_frozen() -> bool:
        """It waits for calls most of the time, but not always: then it runs this one later."""
        rig.freeze("victim")
        tried.submit(executor, 1)
        (stream,) = [name for name in rig.own_keys() if ":calls:" in name]
        eventually(lambda: rig.ask("XLEN", stream))
        tried.hits = rig.ask("XPENDING", stream, GROUP)[0]
        if not tried.hits:
            rig.thaw("victim")
            tried.ended(len(tried.futures))
        return bool(tried.hits)

    with rig.processes(1, queue="risky") as executor:
        tried.submit(executor, 1)
        tried.ended(1)
        eventually(is_handed_to_the_frozen, 30)
        rig.thaw("heir")
        rig.end_nodes("victim")

        verdict = tried.verdict(within=3 * EXPIRY_SECONDS)

    assert verdict.hits >= 1 and verdict.extra == 0
