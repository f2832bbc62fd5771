"""What `deploy/` shows is what the command understands: files that nobody runs here grow old."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from distexec.cli import _commands
from distexec.settings import PREFIX, Settings, describe_settings

DEPLOY = Path(__file__).parents[1] / "deploy"

#: What is no setting, and comes by the environment nevertheless.
OTHER_VARIABLES = {"DISTEXEC_SECRET", "DISTEXEC_SECRET_FILE"}


def unit() -> ConfigParser:
    """The systemd unit."""
    parser = ConfigParser(interpolation=None)
    parser.read(DEPLOY / "systemd" / "distexec-worker@.service")
    return parser


def compose() -> dict[str, Any]:
    """The compose file."""
    return yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())


def manifests() -> list[dict[str, Any]]:
    """The Kubernetes objects."""
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / "worker.yaml").read_text()))


def pods() -> list[dict[str, Any]]:
    """What Deployments run."""
    return [each["spec"]["template"]["spec"] for each in manifests() if "template" in each["spec"]]


def commands() -> Iterator[Any]:
    """Every command line of distexec, with where it stands."""
    program, *arguments = shlex.split(unit()["Service"]["ExecStart"].replace("%i", "q"))
    assert program.endswith("/bin/distexec")
    yield pytest.param(arguments, id="systemd")
    for name, service in compose()["services"].items():
        if "build" in service:
            yield pytest.param(service["command"], id=f"compose-{name}")
    for pod in pods():
        for container in pod["containers"]:
            yield pytest.param(container["args"], id=f"kubernetes-{container['name']}")
    for path in DEPLOY.rglob("*.y*ml"):
        for number, found in enumerate(re.findall(r"entrypoint.sh (.*?)\"", path.read_text())):
            yield pytest.param(shlex.split(found), id=f"{path.name}-check-{number}")


@pytest.mark.parametrize("arguments", list(commands()))
def test_every_option_exists(arguments: list[str]) -> None:
    """And every value is one that it takes."""
    name, *rest = arguments
    command = _commands.commands[name]

    command.make_context(name, rest)


def test_stopping_waits_for_the_drain() -> None:
    """Who kills a node while its calls end makes them run twice."""
    drain = Settings().drain_seconds
    service = unit()["Service"]

    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > drain
    for name, each in compose()["services"].items():
        if each.get("command", [""])[0] == "worker":
            assert float(each["stop_grace_period"].removesuffix("s")) > drain, name
    nodes = [pod for pod in pods() if pod["containers"][0]["args"][0] == "worker"]
    assert all(pod["terminationGracePeriodSeconds"] > drain for pod in nodes)


def test_nothing_runs_as_root_or_shows_a_secret() -> None:
    """An example is copied as it is."""
    user = re.findall(r"^USER (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert user == ["distexec"]
    assert unit()["Service"]["User"] == "distexec"
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
    for name, service in compose()["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_every_variable_means_something() -> None:
    """A misspelt one is ignored, and the default holds in silence."""
    known = {PREFIX + name.upper() for name, _, _ in describe_settings()} | OTHER_VARIABLES
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            named = set(re.findall(rf"{PREFIX}[A-Z_]+", path.read_text()))
            assert named <= known, path


def test_scaling_looks_at_a_figure_that_there_is() -> None:
    """KEDA says little of a figure that it does not find, and scales nothing."""
    (scaled,) = [each for each in manifests() if each["kind"] == "ScaledObject"]
    deployments = [each["metadata"]["name"] for each in manifests() if each["kind"] == "Deployment"]
    trigger = scaled["spec"]["triggers"][0]["metadata"]
    metrics = (Path(__file__).parents[1] / "src/distexec/monitor/metrics.py").read_text()

    assert scaled["spec"]["scaleTargetRef"]["name"] in deployments
    assert trigger["valueLocation"] == 'distexec_queue_depth{queue="distexec"}'
    assert 'f"distexec_queue_{name}"' in metrics
    assert '"depth":' in metrics


def test_entrypoint_makes_a_url_and_a_key_of_files(tmp_path: Path) -> None:
    """Secrets come as files, into an environment and a place that only the user can read."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "distexec"
    fake.write_text('#!/bin/sh\necho "$DISTEXEC_URL $*"\n')
    fake.chmod(0o755)
    (tmp_path / "server_password").write_text("s3cret")
    (tmp_path / "distexec_secret").write_text("key\n")

    for _ in range(2):  # The health check runs it again, beside the node.
        done = subprocess.run(
            [DEPLOY / "entrypoint.sh", "worker", "--slots", "2"],
            env={
                "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                "HOME": str(tmp_path), "SECRETS_FOLDER": str(tmp_path),
            },
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        url = "redis://:s3cret@server:6379?allow_plaintext=true"
        assert done.stdout == f"{url} worker --slots 2\n"

    key = tmp_path / ".config" / "distexec" / "secret.key"
    assert key.read_text() == "key\n"
    assert key.stat().st_mode & 0o777 == 0o600
