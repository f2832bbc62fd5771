"""An existing Celery application's workers serve executors, and its own tasks come first."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery
from noderig import Server, running_program, running_server

from conftest import eventually
from distexec import DistributedExecutor
from distexec.engine import install

APPLICATION = """
import os, time
from celery import Celery
import distexec.engine

app = Celery("theirs", broker=os.environ["THEIR_BROKER"])
distexec.engine.install(app, share={share})
app.conf.update(
    task_time_limit=3, task_soft_time_limit=2, task_acks_late=True, worker_prefetch_multiplier=4,
    accept_content=["json"], task_default_rate_limit="1/m", task_reject_on_worker_lost=True,
    task_annotations={{"*": {{"time_limit": 1}}}}, task_default_queue="theirs",
)

@app.task(rate_limit=None)
def write(path):
    open(path, "w").close()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the module, which is the application's broker as well."""
    with running_server() as made:
        yield made


@contextmanager
def their_worker(
    server: Server,
    folder: Path,
    *options: str,
    share: float = 0.5,
    cluster: Server | None = None,
) -> Iterator[tuple[subprocess.Popen[str], Celery]]:
    """A worker of an application that never heard of us, but for one line."""
    (folder / "theirs.py").write_text(APPLICATION.format(share=share))
    broker = server.endpoint.broker_url()
    command = ["-m", "celery", "-A", "theirs", "worker", "--without-mingle", *options]
    url = (cluster or server).url
    with running_program(command, folder, DISTEXEC_URL=url, THEIR_BROKER=broker) as program:
        yield program, Celery("theirs", broker=broker, set_as_current=False)


def submit_theirs(app: Celery, path: Path) -> None:
    with app.connection_for_write() as connection:
        app.send_task("theirs.write", (str(path),), queue="theirs", connection=connection)


def test_their_limits_do_not_bind_our_calls(server: Server, tmp_path: Path) -> None:
    """A lease outlasts the limits that the application set for its tasks, and is not repeated."""
    starts = str(tmp_path / "starts")

    def work() -> int:
        with open(starts, "a") as file:
            file.write("x")
        time.sleep(3.6)  # Their hard limit is 3 s, and 1 s by annotation.
        return os.getpid()

    with (
        their_worker(server, tmp_path, "-c", "2") as (program, app),
        DistributedExecutor(1, cluster=server.url, threads=False) as executor,
    ):
        future = executor.submit(work)
        eventually(lambda: os.path.exists(starts))
        submit_theirs(app, tmp_path / "their task ran")

        eventually((tmp_path / "their task ran").exists)
        assert not future.done()
        future.result(20)
        assert Path(starts).read_text() == "x"
        executor.shutdown()
        program.terminate()
        assert program.wait(20) == 0


def test_leases_give_way_to_waiting_tasks(server: Server, tmp_path: Path) -> None:
    """An executor with endless work must not starve the application that lends the slots."""
    with (
        their_worker(server, tmp_path, "-c", "1", share=1.0) as (_, app),
        DistributedExecutor(1, cluster=server.url, threads=False) as executor,
    ):
        futures = [executor.submit(time.sleep, 0.05) for _ in range(200)]
        futures[0].result(20)
        submit_theirs(app, tmp_path / "their task ran")

        eventually((tmp_path / "their task ran").exists, 5)
        assert not futures[-1].done()
        for future in reversed(futures):
            future.cancel()


def test_leases_hold_their_share_of_the_slots(server: Server, tmp_path: Path) -> None:
    """The other half stays free for the application, also while it has nothing to do."""

    def where() -> int:
        time.sleep(0.2)
        return os.getpid()

    with (
        their_worker(server, tmp_path, "-c", "4", share=0.5),
        DistributedExecutor(4, cluster=server.url, threads=False) as executor,
    ):
        processes = {future.result(20) for future in [executor.submit(where) for _ in range(16)]}

    assert len(processes) <= 2


def test_a_pool_of_threads_serves_too(server: Server, tmp_path: Path) -> None:
    """Not every application runs on processes."""
    with (
        their_worker(server, tmp_path, "-c", "2", "-P", "threads") as (program, _),
        DistributedExecutor(2, cluster=server.url) as executor,
    ):
        assert executor.submit(os.getpid).result(20) == program.pid


def test_callers_are_told_of_another_broker(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The application's broker is not the cluster's server: wake-ups would wait there unread."""
    with running_server() as theirs, their_worker(theirs, tmp_path, cluster=server):
        place = str(theirs.folder).encode()

        def beats() -> bool:
            keys = server.ask("KEYS", "dx:{nodes}:*:record")
            return any(place in (server.ask("HGET", key, "frame") or b"") for key in keys)

        eventually(beats, 20)
        with DistributedExecutor(1, cluster=server.url) as executor:
            lost = executor.submit(len, "ab")
            try:
                eventually(lambda: "DISTEXEC_BROKER" in caplog.text)
            finally:
                assert lost.cancel()
        assert str(theirs.folder) in caplog.text
        monkeypatch.setenv("DISTEXEC_BROKER", theirs.endpoint.broker_url())
        with DistributedExecutor(1, cluster=server.url) as executor:
            assert executor.submit(len, "ab").result(20) == 2


@pytest.mark.parametrize("share", [0, -0.5, 1.5, float("nan")])
def test_a_share_that_cannot_be_is_refused(share: float) -> None:
    """At once, and not by a worker that serves nobody."""
    with pytest.raises(ValueError, match="share"):
        install(Celery("any", set_as_current=False), "redis://localhost", share)


def test_queues_are_names() -> None:
    """A string would be taken for its letters."""
    with pytest.raises(ValueError, match="queues"):
        install(Celery("any", set_as_current=False), "redis://localhost", queues="distexec")


def test_a_cluster_without_a_name_is_refused() -> None:
    """The message says what to set."""
    with pytest.raises(ConnectionError, match="DISTEXEC_URL"):
        install(Celery("any", set_as_current=False))


def test_installing_decides_nothing_for_the_application(server: Server) -> None:
    """Its settings, which may come later, are its own."""
    app = Celery("any", set_as_current=False)

    install(app, server.url)

    assert not app.finalized
    assert not app.configured
    assert "distexec.lease" in app.tasks
