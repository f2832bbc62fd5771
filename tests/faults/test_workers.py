"""Rows 1 to 4: children and nodes that die, freeze, and wake up again."""

import random
import time
from collections.abc import Callable

import psutil
import pytest

from conftest import eventually
from distexec.store.keys import GROUP

from .rig import Rig, freeze, kill, thaw
from .trial import Trial

#: Seconds that a node may be silent in these tests: tests/conftest.py.
EXPIRY_SECONDS = 2.0

MakeTrial = Callable[[str], Trial]


@pytest.mark.parametrize(
    ("calls", "kills"), [(60, 4), pytest.param(1200, 60, marks=pytest.mark.full)]
)
def test_row_1_killed_children(rig: Rig, trial: MakeTrial, calls: int, kills: int) -> None:
    """A segfault, the kernel's out-of-memory killer: the call that ran there runs once more."""
    rig.node("n", slots=3)
    tried = trial("1")
    with rig.processes(3) as executor:
        tried.submit(executor, calls, 0.15)
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

        verdict = tried.verdict(within=calls * 0.15)

    assert verdict.hits == kills == len(victims)
    assert kills // 2 <= verdict.extra <= kills


@pytest.mark.parametrize(
    ("calls", "kills"), [(60, 2), pytest.param(400, 10, marks=pytest.mark.full)]
)
def test_row_2_killed_main_process(rig: Rig, trial: MakeTrial, calls: int, kills: int) -> None:
    """Celery's own process dies: its supervisor starts another, and no call waits for ever."""
    node = rig.node("n", slots=2)
    tried = trial("2")
    with rig.processes(2) as executor:
        tried.submit(executor, calls, 0.15)
        for _ in range(kills):
            main = rig.main_pid(node)
            tried.strike(lambda pid=main: kill(pid), least=2)
            eventually(lambda pid=main: rig.cluster.records()["n"]["pid"] != pid, 20)

        verdict = tried.verdict(within=calls * 0.15 + kills * 3 * EXPIRY_SECONDS)

    assert verdict.hits == kills
    assert verdict.extra <= kills * 2


@pytest.mark.parametrize("seconds", [0.0, pytest.param(30.0, marks=pytest.mark.full)])
def test_row_3_frozen_and_thawed(rig: Rig, trial: MakeTrial, seconds: float) -> None:
    """A virtual machine is moved: its calls go elsewhere, and what it says later does no harm."""
    sleeper, other = rig.two_nodes()
    asleep = rig.children(sleeper)
    tried = trial("3")
    with rig.processes(4) as executor:
        tried.submit(executor, 40, 0.2)
        tried.strike(lambda: freeze(sleeper), least=4)
        thawed_at = time.monotonic() + seconds
        struck = [run for run in tried.running() if run.pid in asleep]
        eventually(lambda: all(tried.ledger.read().starts[run.number] == 2 for run in struck), 20)
        eventually(lambda: time.monotonic() > thawed_at, seconds + 1)
        thaw(sleeper)

        verdict = tried.verdict(within=40 * 0.1 + seconds)

    assert 1 <= len(struck) <= 2 and verdict.extra == len(struck)
    assert other.process.poll() is None and sleeper.process.poll() is None


def test_row_4_killed_while_it_waits(rig: Rig, trial: MakeTrial) -> None:
    """The server hands a call to a node that is frozen, and then dies: nobody ever saw the call."""
    victim = rig.node("victim")
    tried = trial("4")
    with rig.processes(2) as executor:
        tried.submit(executor, 1)
        tried.ended(1)
        freeze(victim)
        tried.submit(executor, 2, 0.01)
        (stream,) = [key for key in rig.keys() if ":calls:" in key]
        tried.hits = eventually(lambda: rig.ask("XPENDING", stream, GROUP)[0])
        rig.node("heir")
        victim.kill()

        verdict = tried.verdict(within=3 * EXPIRY_SECONDS)

    assert verdict.hits >= 1 and verdict.extra == 0
