"""Row 24: the ways in which a node is told to end, while it runs calls."""

import signal
from collections.abc import Callable

import pytest

from conftest import eventually

from .rig import Rig, whole
from .trial import Trial

MakeTrial = Callable[[str], Trial]


def terminate(rig: Rig) -> None:
    rig.nodes["leaving"].process.send_signal(signal.SIGTERM)


def interrupt(rig: Rig) -> None:
    rig.nodes["leaving"].process.send_signal(signal.SIGINT)


def quit_it(rig: Rig) -> None:
    rig.nodes["leaving"].process.send_signal(signal.SIGQUIT)


def terminate_twice(rig: Rig) -> None:
    """The second time means: now."""
    terminate(rig)
    eventually(lambda: rig.cluster.records()["leaving"]["state"] == "draining")
    terminate(rig)


def kill_it(rig: Rig) -> None:
    rig.nodes["leaving"].kill()


#: How a node is ended, and how many calls that may interrupt.
ENDS = [(terminate, 0), (interrupt, 0), (quit_it, 0), (terminate_twice, 2), (kill_it, 2)]


@pytest.mark.parametrize(("end", "most"), ENDS, ids=[end.__name__ for end, _ in ENDS])
def test_row_24_a_node_ends(
    rig: Rig, trial: MakeTrial, end: Callable[[Rig], None], most: int
) -> None:
    """What runs ends there if there is time, all the rest moves on and is charged to nobody."""
    tried = trial(f"24 {end.__name__[-5:]}")
    rig.start_nodes("leaving", slots=2)
    node = rig.nodes["leaving"]
    processes = whole(node)
    with rig.processes(6) as executor:
        tried.submit(executor, 24, 0.5)
        tried.strike(lambda: end(rig), least=6)

        verdict = tried.verdict(within=20)

    assert node.process.wait(20) == (0 if end is not kill_it else -signal.SIGKILL)
    eventually(lambda: not any(process.is_running() for process in processes), 20)
    assert verdict.extra <= most
    assert verdict.extra == most or end is not kill_it


def test_row_24_an_idle_node_ends(rig: Rig) -> None:
    """At once: nothing holds it."""
    rig.start_nodes("idle", queue="nothing")
    node = rig.nodes["idle"]

    node.process.send_signal(signal.SIGTERM)

    assert node.process.wait(20) == 0
