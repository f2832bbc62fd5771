"""Celery's own tools on a node that lets them: `celery inspect`, and events as Flower sees them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.events.state import State
from noderig import SOURCE, Server, end_group, running_server

import distexec
from conftest import eventually
from distexec.engine.app import node_settings
from distexec.settings import Settings, WorkerOptions
from distexec.wire import secret


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def environment(server: Server) -> dict[str, str]:
    """As a shell on a node's machine has it; this module is known there."""
    here = str(Path(__file__).parent)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([SOURCE, here, str(Path(here).parent)]),
        "DISTEXEC_URL": server.url,
        "DISTEXEC_SECRET": secret.to_text(server.secret),
    }


@pytest.fixture(scope="module")
def node(server: Server, environment: dict[str, str], tmp_path_factory: Any) -> Iterator[str]:
    """A node that answers Celery's remote control."""
    log = tmp_path_factory.mktemp("node") / "log"
    command = [sys.executable, "-m", "distexec", "worker", "--name", "shown@here", "--slots", "1"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--remote-control"],
            env=environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            eventually(lambda: server.record("shown@here").get("children"), 30)
            assert "unsigned" in log.read_text()
            yield "shown@here"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            end_group(process)


def test_settings_can_be_told() -> None:
    """`celery inspect stats` and `conf` answer with them, in JSON: else no answer comes."""
    settings = node_settings(Settings(), WorkerOptions(remote_control=True))

    assert json.loads(json.dumps(settings)) == settings


def hold(gate: str) -> None:
    """Keep a slot until told otherwise."""
    eventually(Path(gate).exists, timeout=60)


def inspect(environment: dict[str, str], *what: str) -> Any:
    """What `celery inspect` prints, asked again until a node answers."""

    def ask() -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "distexec.engine", "inspect", *what, "--json"],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return eventually(ask, 60)


def test_leases_tell_whom_they_serve(
    server: Server, environment: dict[str, str], node: str, tmp_path: Path
) -> None:
    """Whoever looks with Celery's tools sees who uses the slots, and for what."""
    gate = tmp_path / "gate"
    app = Celery("watcher", broker=server.endpoint.broker_url(), set_as_current=False)
    seen = State()
    with distexec.DistributedExecutor(1, cluster=server.url, name="nightly") as executor:
        try:
            with app.connection_for_read() as connection:
                receiver = app.events.Receiver(connection, handlers={"*": seen.event})
                events = receiver.itercapture(limit=None, timeout=30, wakeup=False)
                next(events)  # A beat of the node: from now on all is heard.
                future = executor.submit(hold, str(gate))

                def is_told() -> bool:
                    next(events)
                    return any("nightly" in str(task.kwargs) for task in seen.tasks.values())

                eventually(is_told, 30)
                events.close()

            (lease,) = inspect(environment, "active")[node]
        finally:
            gate.touch()
        future.result(30)

    assert lease["name"] == "distexec.lease"
    assert lease["kwargs"]["executor"] == "nightly"
    assert lease["kwargs"]["caller"].endswith(f":{os.getpid()}")
    assert lease["kwargs"]["function"].endswith("test_display.hold")
    assert node in seen.workers
