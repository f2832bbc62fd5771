"""A real node, with a real Celery worker, keeps its children, its orders and its promises."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from noderig import SOURCE, Node, Server, is_running, running_node, running_server

from conftest import eventually
from distexec import DistributedExecutor
from distexec.engine.children import how_it_ended
from distexec.errors import WorkerLost
from distexec.wire.seal import Seal


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the module's nodes."""
    with running_server() as made:
        yield made


@pytest.fixture(scope="module")
def node(server: Server) -> Iterator[Node]:
    """A node that tests leave as they found it: with two slots, and alive."""
    with running_node(server) as made:
        yield made


@pytest.fixture
def executor(server: Server, node: Node) -> Iterator[DistributedExecutor]:
    """An executor that gives each call a process of its own."""
    with DistributedExecutor(8, cluster=server.url, threads=False) as made:
        yield made


def test_a_call_runs_in_a_child_of_celerys_pool(node: Node, executor: DistributedExecutor) -> None:
    """It is Celery that lends the slot, received through kombu: no process besides."""
    child, parent = executor.submit(lambda: (os.getpid(), os.getppid())).result(20)

    assert child in node.children
    assert parent == node.pid
    assert "Task distexec.lease" in node.log


def test_new_slots_work_at_once_and_go_when_idle(
    server: Server, node: Node, executor: DistributedExecutor, tmp_path: Path
) -> None:
    """Slots grow on demand: six calls that wait for each other need six processes, now."""
    folder = str(tmp_path)

    def meet() -> int:
        Path(folder, str(os.getpid())).touch()
        while len(os.listdir(folder)) < 6:
            time.sleep(0.01)
        return os.getpid()

    server.order(node.name, do="resize", slots=6)
    processes = {future.result(20) for future in [executor.submit(meet) for _ in range(6)]}

    assert len(processes) == 6
    assert processes == set(node.children)
    executor.shutdown()
    server.order(node.name, do="resize", slots=2)
    eventually(lambda: len(node.children) == node.record.get("slots") == 2)


def test_shrinking_spares_what_runs(
    server: Server, node: Node, executor: DistributedExecutor, tmp_path: Path
) -> None:
    """A smaller size is for idle slots; a running call keeps its own until it is done."""
    gate = str(tmp_path / "gate")

    def wait() -> int:
        while not os.path.exists(gate):
            time.sleep(0.01)
        return os.getpid()

    futures = [executor.submit(wait) for _ in range(2)]
    try:
        eventually(lambda: all(future.running() for future in futures))
        server.order(node.name, do="resize", slots=1)
        server.order(node.name, do="resize", slots=3)  # Arrives after it, so both were obeyed.
        eventually(lambda: len(node.children) == 3)

        assert not any(future.done() for future in futures)
    finally:
        Path(gate).touch()
    assert len({future.result(20) for future in futures}) == 2
    executor.shutdown()
    server.order(node.name, do="resize", slots=2)
    eventually(lambda: len(node.children) == 2)


BARELY_FORKED = """
import os, signal
from distexec.engine import node, worker
node.drain = lambda: print("the node drains", flush=True)
worker.NodeWorker.install_platform_tweaks(None, None)
child = os.fork()
if not child:
    os.kill(os.getpid(), signal.SIGTERM)
    print("the child goes on", flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_child_that_has_just_begun_can_be_told_to_end() -> None:
    """It still has its node's handlers, and drained the node: that served nobody any more."""
    ended = subprocess.run(
        [sys.executable, "-c", BARELY_FORKED],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )

    assert ended.stdout.splitlines() == ["-15", "the node drains"], ended.stderr


@pytest.mark.parametrize(
    ("end", "story"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed by SIGKILL"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "killed by SIGTERM"),
        (lambda: os._exit(3), "exited with code 3"),
        (lambda: os.abort(), "killed by SIGABRT"),
    ],
)
def test_a_dead_child_is_reported_at_once_and_replaced(
    node: Node, executor: DistributedExecutor, end: object, story: str
) -> None:
    """billiard alone needs up to five seconds; three attempts are over before that."""
    before = node.children
    executor.submit(len, ()).result(20)
    started = time.monotonic()

    with pytest.raises(WorkerLost) as caught:
        executor.submit(end).result(20)  # type: ignore[arg-type]

    assert time.monotonic() - started < 3
    assert len(caught.value.attempts) == 3
    assert all(line.startswith(f"node {node.name}, process ") for line in caught.value.attempts)
    assert all(line.endswith(story) for line in caught.value.attempts)
    eventually(lambda: len(node.children) == 2 and node.children != before)
    assert executor.submit(len, "ab").result(20) == 2


def test_how_a_process_ended_is_told_in_words() -> None:
    """The story of an attempt is read by people."""
    assert how_it_ended(-11) == "killed by SIGSEGV"
    assert how_it_ended(-60) == "killed by signal 60"
    assert how_it_ended(0) == "exited with code 0"
    assert how_it_ended(None) == "vanished"


def test_a_call_has_the_signals_of_an_ordinary_process(executor: DistributedExecutor) -> None:
    """What a call starts inherits them, and would ignore Ctrl-C for ever."""

    def handlers() -> list[bool]:
        return [
            signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
            signal.getsignal(signal.SIGINT) is signal.default_int_handler,
            signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL,
        ]

    assert executor.submit(handlers).result(20) == [True, True, True]


def test_a_call_may_use_multiprocessing(executor: DistributedExecutor) -> None:
    """Celery's children are daemons, which may have no children: not ours."""

    def square_elsewhere() -> list[int]:
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, [-1, -2])

    assert executor.submit(square_elsewhere).result(20) == [1, 2]


def test_a_child_holds_no_socket_of_its_node(executor: DistributedExecutor) -> None:
    """A copy that outlives the node would make the server hand a message to nobody."""

    def shared() -> set[str]:
        def sockets(pid: int) -> set[str]:
            found = set()
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                try:
                    name = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                except OSError:
                    continue
                if name.startswith("socket:") and int(descriptor) > 2:
                    found.add(name)
            return found

        return sockets(os.getpid()) & sockets(os.getppid())

    assert executor.submit(shared).result(20) == set()


MALFORMED = [
    b"no json", b"5", b'"text"', b"[1, 2]", b'{"body": "cut', b"{}", b"\xff\xfe",
    b'{"body": "%%%", "headers": {"task": "distexec.lease", "id": "1"}, "content-type": '
    b'"application/json", "content-encoding": "utf-8", "properties": {"body_encoding": "base64", '
    b'"delivery_tag": "1", "delivery_info": {"exchange": "", "routing_key": "distexec"}}}',
    b'{"body": "NQ==", "headers": {"task": "distexec.lease", "id": "1"}, "content-type": '
    b'"application/json", "content-encoding": "utf-8", "properties": {"body_encoding": "base64", '
    b'"delivery_tag": "2", "delivery_info": {"exchange": "", "routing_key": "distexec"}}}',
    b'{"body": "NQ==", "headers": {"task": {}, "id": null}, "properties": {"body_encoding": '
    b'"base64", "delivery_tag": "3", "delivery_info": {}}}',
    b'{"body": "NQ==", "headers": null, "properties": {"body_encoding": "base64", '
    b'"delivery_tag": null, "delivery_info": {}}}',
    # Well formed, and not signed: [["AAAA"], {}, {}].
    b'{"body": "W1siQUFBQSJdLCB7fSwge31d", "headers": {"task": "distexec.lease", "id": "2"}, '
    b'"content-type": "application/json", "content-encoding": "utf-8", "properties": '
    b'{"body_encoding": "base64", "delivery_tag": "4", "delivery_info": '
    b'{"exchange": "", "routing_key": "distexec"}}}',
]  # fmt: skip


@pytest.mark.parametrize("message", MALFORMED)
def test_a_malformed_message_does_not_end_the_node(
    server: Server, node: Node, executor: DistributedExecutor, message: bytes
) -> None:
    """Whoever can write to the queue could end a worker of Celery's with most of these."""
    pid = node.pid

    server.ask("LPUSH", "distexec", message)
    eventually(lambda: server.ask("LLEN", "distexec") == 0)

    assert executor.submit(len, "abc").result(20) == 3
    assert node.pid == pid


def test_orders_that_are_foreign_or_stale_are_refused(server: Server, node: Node) -> None:
    """A recorded or forged order must not stop a node; the next good one is obeyed."""
    server.order(node.name, seal=Seal(b"another" * 5), do="drain")
    server.order(node.name, late=3600.0, do="drain")
    server.order(node.name, late=-3600.0, do="drain")
    server.order(node.name, do="dance")
    server.order(node.name, do="resize", slots=3)

    eventually(lambda: len(node.children) == 3)
    assert node.record["state"] == "serving"
    assert node.log.count("is put aside") >= 3
    server.order(node.name, do="resize", slots=2)
    eventually(lambda: len(node.children) == 2)


def test_a_node_tells_what_it_is(node: Node) -> None:
    """Callers refuse a node that does not fit, and know what to say."""
    record = node.record

    assert record["name"] == node.name
    assert record["host"] == socket.gethostname()
    assert record["queues"] == ["distexec"]
    assert record["state"] == "serving"
    assert record["key"] == node.server.seal.key_id.hex()


def test_the_drain_order_lets_a_call_finish_and_ends_the_node(server: Server) -> None:
    """An operator takes a machine out of a cluster without losing a call."""
    with (
        running_node(server, slots=1) as leaving,
        DistributedExecutor(1, cluster=server.url, threads=False) as executor,
    ):
        children = leaving.children
        future = executor.submit(time.sleep, 0.5)
        eventually(future.running)
        server.order(leaving.name, do="drain")

        assert leaving.supervisor.wait(20) == 0
        assert future.result(20) is None
        assert not any(is_running(pid) for pid in children)
        assert leaving.record == {}


def test_celery_prints_nothing(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    """An embedded node shares the caller's terminal, for the output of calls."""
    with running_node(server, slots=1) as silent:
        server.wake()
        os.kill(silent.children[0], signal.SIGKILL)
        eventually(lambda: "SIGKILL" in silent.log)
        silent.supervisor.terminate()
        silent.supervisor.wait(20)

    assert capfd.readouterr() == ("", "")
