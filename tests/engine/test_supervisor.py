"""A node that dies is started again, and one that is told to end does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from noderig import Server, is_running, running_node, running_program, running_server

from conftest import eventually
from distexec import DistributedExecutor


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the module's nodes."""
    with running_server() as made:
        yield made


def test_a_killed_node_is_started_again_with_the_size_it_had(server: Server) -> None:
    """Out of memory or a bug of Celery's must not leave a machine idle, nor its children behind."""
    with running_node(server, slots=1) as node:
        server.order(node.name, do="resize", slots=3)
        eventually(lambda: len(node.children) == 3)
        pid, children = node.pid, node.children

        os.kill(pid, signal.SIGKILL)

        eventually(lambda: node.pid not in (0, pid) and len(node.children) == 3, 30)
        eventually(lambda: not any(is_running(each) for each in children))
        with DistributedExecutor(1, cluster=server.url) as executor:
            assert executor.submit(len, "ab").result(20) == 2
        assert "died (SIGKILL)" in node.log


def test_a_call_of_a_killed_node_runs_again_soon(server: Server, tmp_path: Path) -> None:
    """The next node of the same name reports what the last one held, long before it expires."""
    starts = str(tmp_path / "starts")

    def work() -> int:
        with open(starts, "a") as file:
            file.write("x")
        while os.path.getsize(starts) < 2:
            time.sleep(0.01)
        return os.getpid()

    with (
        running_node(server, slots=1) as node,
        DistributedExecutor(1, cluster=server.url, threads=False) as executor,
    ):
        future = executor.submit(work)
        eventually(lambda: os.path.exists(starts))
        started = time.monotonic()

        os.kill(node.pid, signal.SIGKILL)

        assert future.result(20) == node.children[0]
        assert time.monotonic() - started < 5
        assert "lost with its node" in node.log


def test_a_node_that_dies_by_its_own_fault_is_started_again(server: Server) -> None:
    """Celery ends its worker for what it calls unrecoverable; so does a crash in C."""
    with running_node(server, slots=1) as node:
        pid = node.pid

        os.kill(pid, signal.SIGSEGV)

        eventually(lambda: node.pid not in (0, pid))


def test_sigterm_lets_the_running_call_finish(server: Server, tmp_path: Path) -> None:
    """Service managers stop with SIGTERM; what a call had begun is done, not repeated."""
    starts = str(tmp_path / "starts")

    def work() -> str:
        with open(starts, "a") as file:
            file.write("x")
        time.sleep(0.7)
        return "done"

    with (
        running_node(server, slots=1) as node,
        DistributedExecutor(1, cluster=server.url, threads=False) as executor,
    ):
        future = executor.submit(work)
        eventually(lambda: os.path.exists(starts))
        node.supervisor.terminate()

        assert node.supervisor.wait(20) == 0
        assert future.result(20) == "done"
        assert Path(starts).read_text() == "x"


def test_a_second_sigterm_does_not_wait(server: Server, tmp_path: Path) -> None:
    """Whoever says it twice means it; the call runs again elsewhere."""
    gate = str(tmp_path / "gate")

    def wait() -> int:
        while not os.path.exists(gate):
            time.sleep(0.01)
        return os.getpid()

    with DistributedExecutor(1, cluster=server.url, threads=False) as executor:
        with running_node(server, slots=1) as node:
            future = executor.submit(wait)
            eventually(future.running)
            processes = [node.pid, *node.children]
            node.supervisor.terminate()
            eventually(lambda: node.record.get("state") == "draining")
            started = time.monotonic()

            node.supervisor.terminate()
            node.supervisor.wait(20)

            assert time.monotonic() - started < 5
            eventually(lambda: not any(is_running(each) for each in processes))
        Path(gate).touch()
        with running_node(server, slots=1):
            assert future.result(20) not in processes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_node_ends_without_its_supervisor(server: Server) -> None:
    """A node that nobody can stop in good order would hold its slots for ever."""
    with running_node(server, slots=1) as node:
        pid = node.pid

        os.kill(node.supervisor.pid, signal.SIGKILL)

        eventually(lambda: not is_running(pid))


def test_the_worker_command_serves_and_logs_to_stderr(server: Server, tmp_path: Path) -> None:
    """The node of a real cluster: started by a person or a service manager, drained by Ctrl-C."""
    command = ["-m", "distexec", "worker", "--cluster", server.url, "--slots", "1", "--name", "cli"]
    with running_program(command, tmp_path) as program:
        with DistributedExecutor(1, cluster=server.url) as executor:
            child, group = executor.submit(lambda: (os.getpid(), os.getpgrp())).result(20)
        program.send_signal(signal.SIGINT)

        assert program.wait(20) == 0
        assert group != program.pid  # A terminal's Ctrl-C does not reach the calls.
        assert not is_running(child)
        log = (tmp_path / "program.log").read_text()
        assert "Node cli@" in log
        assert "Traceback" not in log


def test_celerys_own_command_starts_a_node_too(server: Server, tmp_path: Path) -> None:
    """Whoever runs Celery already has a place for one more worker of it."""
    command = ["-m", "celery", "-A", "distexec.engine", "worker", "-Q", "distexec", "-c", "1"]
    with running_program(command, tmp_path, DISTEXEC_URL=server.url) as program:
        with DistributedExecutor(1, cluster=server.url) as executor:
            assert executor.submit(len, "abc").result(20) == 3
        program.terminate()

        assert program.wait(20) == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+socket:///nowhere/server.sock", "no secret for the cluster"),
        ("http://localhost", "must begin with redis://"),
    ],
)
def test_a_node_that_cannot_join_says_why(tmp_path: Path, url: str, words: str) -> None:
    """A wrong address must not become a process that waits in silence."""
    with running_program(
        ["-m", "distexec", "worker", "--cluster", url], tmp_path, HOME=str(tmp_path)
    ) as program:
        assert program.wait(20) != 0

    assert words in (tmp_path / "program.log").read_text()


def test_importing_the_room_imports_no_celery() -> None:
    """Every program that uses an executor imports it; Celery's import takes its time."""
    program = (
        "import sys, distexec.engine, distexec.engine.wakeup\n"
        "assert not {'celery', 'kombu', 'redis'} & set(sys.modules)\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
