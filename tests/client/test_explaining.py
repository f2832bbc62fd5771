"""`executor.explain` and `distexec explain`: where a call went, and the figures that decided."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

import distexec
from conftest import eventually
from properties import calls
from properties.conftest import Gate, gate

__all__ = ["gate"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[distexec.LocalCluster]:
    """One slot, two queues."""
    with distexec.LocalCluster(1, queues=["gpu", "cpu"]) as cluster:
        yield cluster


def test_a_call_is_explained_through_its_life(cluster: distexec.LocalCluster, gate: Gate) -> None:
    """Running, waiting, and settled: each time with what decided, in figures and in words."""
    with distexec.ProcessPoolExecutor(1, cluster=cluster, queues=["gpu", "cpu"]) as executor:
        running = executor.submit(calls.wait_for, gate.path, 1)
        eventually(running.running)
        low = executor.options(priority=distexec.Priority.LOW, queue="cpu")
        waiting = [low.submit(calls.wait_for, gate.path, n) for n in range(9)]

        now, later = executor.explain(running), executor.explain(waiting[-1])
        by_command = subprocess.run(
            [sys.executable, "-m", "distexec", "explain", str(later.id), "--cluster", cluster.url],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        gate.open()
        running.result(timeout=20)
        settled = executor.explain(running)
        for future in waiting:
            future.result(timeout=20)

    assert now.state == "running"
    assert {estimate.queue for estimate in now.estimates} == {"gpu", "cpu"}
    assert now.queue == now.estimates[0].queue
    assert f"it went to queue {now.queue}" in str(now)
    assert (later.state, later.queue, later.estimates) == ("waiting", "cpu", ())
    assert later.priority.base == distexec.Priority.LOW
    assert "priority 3" in str(later)
    assert by_command.returncode == 0, by_command.stderr
    assert f"wait_for is waiting ({later.id})" in by_command.stdout
    assert (settled.state, settled.queue, settled.id) == ("settled", now.queue, None)
    assert settled.estimates == now.estimates


def test_who_is_not_there_does_not_answer(cluster: distexec.LocalCluster) -> None:
    """A caller that has ended, and something that is no id."""
    for name, code in (("0123456789abcdef-42", 1), ("nonsense", 2)):
        ended = subprocess.run(
            [sys.executable, "-m", "distexec", "explain", name, "--cluster", cluster.url],
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == code


def test_only_calls_are_explained() -> None:
    """What was never sent went nowhere; another library's future is none of ours."""
    with distexec.DistributedExecutor(cluster="threads") as executor:
        with pytest.raises(TypeError, match="future of this executor"):
            executor.explain(Future())
        unsendable = executor.submit(print, (n for n in ()))
        with pytest.raises(ValueError, match="never sent"):
            executor.explain(unsendable)
