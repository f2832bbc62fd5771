"""Rows 11, 13 and 22: networks that are cut, slow, or carry words in one direction only."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import eventually

from .netns import namespace
from .rig import Rig, running_rig
from .trial import Trial

MakeTrial = Callable[[str], Trial]


@pytest.mark.parametrize("seconds", [4.0, pytest.param(60.0, marks=pytest.mark.full)])
def test_row_11_node_is_cut_off(rig: Rig, trial: MakeTrial, seconds: float) -> None:
    """A switch dies, nobody is told: calls of that node run elsewhere, and it is of use again."""
    tried = trial("11 node")
    with rig.proxy() as proxy:
        rig.start_nodes("far", queue="split", slots=2, url=rig.url(proxy))
        with rig.processes(4, queue="split") as executor:
            tried.submit(executor, 20, 0.2)
            struck = tried.strike(proxy.hold, least=2)
            cut_at = time.monotonic()
            rig.start_nodes("near", queue="split", slots=2)
            eventually(lambda: all(tried.ledger.read().starts[r.number] > 1 for r in struck), 30)
            eventually(lambda: time.monotonic() - cut_at > seconds, seconds + 1)
            proxy.release()
            tried.verdict(within=seconds + 10, is_last=False)
            rig.end_nodes("near")
            tried.submit(executor, 4, 0.05)

            verdict = tried.verdict(within=25)
    assert len(struck) >= 2 and verdict.extra <= len(struck)


@pytest.mark.parametrize("seconds", [4.0, pytest.param(60.0, marks=pytest.mark.full)])
def test_row_11_cable_of_a_node_is_unplugged(
    tmp_path: Path, trial: MakeTrial, seconds: float
) -> None:
    """The same with the kernel's own network, where packets are lost and nobody says a word."""
    tried = trial("11 cable")
    with (
        namespace() as far,
        running_rig(tmp_path, "--bind", "127.0.0.1", far.host, connect_seconds=1) as rig,
    ):
        rig.start_nodes("near", slots=2)
        rig.cluster.launcher = far.launcher
        address = rig.url().replace("127.0.0.1", far.host)
        rig.start_nodes("far", slots=2, url=f"{address}?allow_plaintext=true")
        with rig.processes(4) as executor:
            tried.submit(executor, 24, 0.2)
            there = rig.children("far")
            struck = [run for run in tried.strike(far.unplug, least=4) if run.pid in there]
            cut_at = time.monotonic()
            tried.ended(20)
            eventually(lambda: time.monotonic() - cut_at > seconds, seconds + 1)
            far.plug()
            eventually(lambda: "far" in rig.cluster.records(), 60)

            verdict = tried.verdict(within=30)
    assert len(struck) == 2 and verdict.extra <= 2


@pytest.mark.parametrize("seconds", [3.0, pytest.param(30.0, marks=pytest.mark.full)])
def test_row_11_caller_is_cut_off(rig: Rig, trial: MakeTrial, seconds: float) -> None:
    """Its calls go on meanwhile, and what they returned is there afterwards."""
    tried = trial("11 caller")
    with rig.proxy() as proxy, rig.processes(4, via=proxy) as executor:
        tried.submit(executor, 16, 0.2)
        tried.strike(proxy.hold, least=4)
        cut_at = time.monotonic()
        eventually(lambda: time.monotonic() - cut_at > seconds, seconds + 1)
        proxy.release()

        verdict = tried.verdict(within=seconds + 25)

    # Beyond the session's expiry its leases end, and beyond that of its keys replies are gone.
    assert verdict.extra <= (0 if seconds < 5 else 8)


@pytest.mark.parametrize("calls", [40, pytest.param(2000, marks=pytest.mark.full)])
def test_row_13_slow_network(tmp_path: Path, trial: MakeTrial, calls: int) -> None:
    """Another continent: 100 to 200 ms each way and 100 kB a second; nothing is sent twice."""
    tried = trial("13")
    # The settings of everyday: those of the other rows would call this an outage.
    lives = {"connect_seconds": 5, "session_expiry_seconds": 20, "key_expiry_seconds": 60}
    with running_rig(tmp_path, **lives) as rig, rig.proxy() as proxy:
        rig.start_nodes("n1", slots=4)
        with rig.processes(4, via=proxy) as executor:
            tried.submit(executor, 1)
            tried.ended(1)
            proxy.delay, proxy.jitter, proxy.bandwidth = 0.1, 0.1, 100_000
            tried.hits = 1
            tried.submit(executor, calls)
            began = time.monotonic()

            verdict = tried.verdict(within=calls * 0.2)
            seconds = time.monotonic() - began
            proxy.delay = proxy.jitter = 0.0
            proxy.bandwidth = None

    assert verdict.extra == 0
    if calls >= 1000:
        # A round trip is 0.3 s, and two calls for each of the four leases may be under way.
        assert calls / seconds >= 0.5 * 8 / 0.3


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.full)])
def test_row_22_deaf_node(rig: Rig, trial: MakeTrial, times: int) -> None:
    """It is heard and hears nothing: it does not keep calls to itself, and recovers."""
    tried = trial("22")
    with rig.proxy() as proxy:
        rig.start_nodes("deaf", queue="noise", url=rig.url(proxy))
        rig.start_nodes("well", queue="noise")
        with rig.processes(2, queue="noise") as executor:
            for _ in range(times):
                tried.submit(executor, 12, 0.2)
                tried.strike(lambda: proxy.hold("down"), least=2)
                tried.verdict(within=30, is_last=False)
                proxy.release()

            verdict = tried.verdict(within=1)
    assert verdict.hits == times and verdict.extra <= 2 * times
