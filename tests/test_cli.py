"""The `distexec` command does its work, or says in one line why not, and never shows a secret."""

import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

import distexec as dx
from conftest import eventually
from distexec.engine.local import LocalCluster
from distexec.version import __version__, is_compiled
from distexec.wire import secret

#: A server that nobody runs: port 1 of this machine.
NOBODY = "redis://127.0.0.1:1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, and an environment without a cluster."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DISTEXEC_URL", "DISTEXEC_SECRET", "DISTEXEC_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster to look at; its node is up."""
    with LocalCluster(1) as made:
        eventually(lambda: distexec("ping", "--cluster", made.url).returncode == 0, timeout=20.0)
        yield made


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "distexec", *arguments]


def distexec(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a command that stays; what a failed test leaves is ended."""
    with ExitStack() as stack:

        def start(*arguments: str) -> "subprocess.Popen[str]":
            process = stack.enter_context(
                subprocess.Popen(
                    command(*arguments),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            )
            stack.callback(process.terminate)
            return process

        yield start


def test_version() -> None:
    """The first thing that a bug report is asked for."""
    build = " (compiled)" if is_compiled() else ""
    assert distexec("--version").stdout == f"distexec {__version__}{build}\n"


def test_help_names_every_command() -> None:
    """And is quick: nothing of the cluster is imported for it."""
    script = (
        "import sys\nfrom distexec.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted({'celery', 'kombu', 'redis'} & set(sys.modules)))"
    )

    text = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    ).stdout

    for name in ("worker", "local", "keygen", "ping"):
        assert f"\n  {name} " in text
    assert text.endswith("[]\n")


def test_no_command_shows_the_help() -> None:
    """It is what people try first; a script that does so made a mistake."""
    done = distexec()

    assert done.returncode == 2
    assert "Usage: distexec" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["wroker"], "No such command 'wroker'"),
        (["worker", "--slots", "0"], "'--slots': 0 is not in the range"),
        (["worker", "--slots", "many"], "'--slots'"),
        (["worker", "--queues", "a,,b"], "'' is no name"),
        (["worker", "--queues", "a b"], "'a b' is no name"),
        (["worker", "--queues", "x" * 65], "is no name"),
        (["worker", "--name", "a/b", "--cluster", NOBODY], "'a/b' is no name"),
        (["worker", "--log-level", "loud"], "'--log-level'"),
        (["worker", "--queues", "gpu:0"], "'0' is no whole number from 1"),
        (["worker", "--memory-per-child", "much"], "'much' is no size"),
        (["worker", "--autoscale", "8,2"], "the first bound is above the second"),
        (["worker", "--pool", "gevent"], "'gevent' is not one of"),
        (
            ["worker", "--pool", "threads", "--calls-per-child", "9", "--cluster", NOBODY],
            "calls_per_child needs a pool of processes",
        ),
        (["acl", "--queues", "gpu:3"], "weights are for `distexec worker`"),
        (["worker", "--cluster", "http://localhost"], "must begin with redis://"),
        (["worker", "--cluster", "redis://10.1.2.3"], "allow_plaintext=true"),
        (["worker"], "--cluster URL, or set DISTEXEC_URL"),
        (["ping"], "--cluster URL, or set DISTEXEC_URL"),
        (["ping", "--cluster", "redis://localhost:x"], "port"),
        (["local", "--workers", "-1"], "'--workers'"),
        (["keygen", "--path", "x"], "No such option"),
    ],
)
def test_wrong_arguments_are_one_line_and_code_2(
    home: Path, arguments: list[str], said: str
) -> None:
    """Service managers and people read it: no traceback, no page of usage."""
    done = distexec(*arguments)

    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("distexec: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_setting_that_cannot_be_read_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are environment variables, where a typing error is easily made."""
    monkeypatch.setenv("DISTEXEC_BEAT_SECONDS", "often")

    done = distexec("ping", "--cluster", NOBODY)

    assert done.returncode == 2
    assert "DISTEXEC_BEAT_SECONDS must be a number" in done.stderr


def test_worker_without_a_secret_does_not_start(home: Path) -> None:
    """It would run whatever anybody writes to the server."""
    done = distexec("worker", "--cluster", NOBODY)

    assert done.returncode == 1
    assert "distexec keygen" in done.stderr
    assert "Traceback" not in done.stderr


def test_server_that_does_not_answer_is_named(home: Path) -> None:
    """Within the connection's time limit, and with the address that was tried."""
    done = distexec("ping", "--cluster", f"{NOBODY}/3")

    assert done.returncode == 1
    assert done.stderr.startswith("distexec: the server at redis://127.0.0.1:1/3 does not answer")


# Keys.


def test_keygen_writes_a_private_file_and_prints_no_secret(home: Path) -> None:
    """Terminals are logged, and shown to others."""
    done = distexec("keygen")

    path = home / ".config/distexec/secret.key"
    (key,) = secret.read(path)
    assert done.returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(key) == 32
    assert secret.to_text(key) not in done.stdout + done.stderr
    assert str(path) in done.stderr


def test_keygen_never_overwrites(home: Path) -> None:
    """A running cluster would lose its callers."""
    path = home / "key"
    distexec("keygen", "--file", str(path))
    before = path.read_bytes()

    done = distexec("keygen", "--file", str(path))

    assert done.returncode == 1
    assert f"{path} exists already" in done.stderr
    assert path.read_bytes() == before


def test_rotation_signs_with_a_new_secret_and_accepts_the_old(home: Path) -> None:
    """Callers and nodes get the new file one after the other, while calls go on."""
    path = home / "key"
    distexec("keygen", "--file", str(path))
    old = secret.read(path)

    done = distexec("keygen", "--file", str(path), "--rotate")

    new = secret.read(path)
    assert done.returncode == 0
    assert new[1:] == old
    assert new[0] not in old
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(home) == ["key"]


def test_rotation_needs_a_secret(home: Path) -> None:
    """A wrong path must not make a key that nobody uses."""
    done = distexec("keygen", "--file", str(home / "other"), "--rotate")

    assert done.returncode == 1
    assert os.listdir(home) == []


def test_keygen_prints_the_secret_when_asked(home: Path) -> None:
    """For ``DISTEXEC_SECRET``, in a vault or a container's environment."""
    done = distexec("keygen", "--print")

    assert secret.from_text(done.stdout.strip()) == secret.load()


# Clusters.


def test_ping_tells_server_and_nodes(home: Path, cluster: LocalCluster) -> None:
    """Is it up, and is it mine? Without Celery's remote control, which is off."""
    done = distexec("ping", "--cluster", cluster.url)

    server, node = done.stdout.splitlines()
    assert server.startswith(f"{cluster.url}: valkey 9.")
    assert node.startswith(f"{cluster.node}: serving, 1 slots for distexec; Python 3.")
    assert done.returncode == 0


def test_ping_can_ask_for_one_node(home: Path, cluster: LocalCluster) -> None:
    """A container's health check is about its own node, whatever the others do."""
    here = distexec("ping", cluster.node, "--cluster", cluster.url)
    gone = distexec("ping", "gone@there", "--cluster", cluster.url)

    assert here.returncode == 0
    assert (gone.returncode, gone.stderr) == (
        1,
        "distexec: node 'gone@there' does not answer\n",
    )


def test_ping_takes_the_cluster_from_the_environment(
    home: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As executors do."""
    monkeypatch.setenv("DISTEXEC_URL", cluster.url)

    assert distexec("ping").returncode == 0


def test_ping_tells_a_foreign_secret(
    home: Path, cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual mistake after a rotation, or with two clusters: the key ids show it."""
    monkeypatch.setenv("DISTEXEC_SECRET", secret.to_text(secret.generate()))
    # The way to the server and its password, without the secret that lies beside them.
    folder = cluster.endpoint.folder
    assert folder is not None
    for name in ("server.sock", "server.password"):
        (tmp_path / name).symlink_to(folder / name)

    done = distexec("ping", "--cluster", f"redis+socket://{tmp_path}/server.sock")

    assert "its record is refused (key id: signed with secret " in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_local_prints_its_url_and_ends_clean(
    home: Path, start: Any, number: signal.Signals
) -> None:
    """``distexec local &`` in a shell, or under a service manager."""
    process = start("local", "--workers", "1")
    line = process.stdout.readline()
    path = Path(line.removeprefix("export DISTEXEC_URL=redis+socket://").strip())
    assert path.is_socket()

    process.send_signal(number)

    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
    assert not path.parent.exists()


def test_local_that_is_lost_says_why(home: Path, start: Any) -> None:
    """It must not look as if it were still there."""
    process = start("local", "--workers", "1")
    url = process.stdout.readline().partition("redis+socket://")[2].strip()

    for each in psutil.Process(process.pid).children():
        if f"unixsocket:{url}" in " ".join(each.cmdline()):
            each.kill()

    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert errors.startswith("distexec: the embedded cluster's server (pid ")
    assert "killed by SIGKILL" in errors


def test_worker_joins_a_cluster_and_leaves_it(
    home: Path, start: Any, cluster: LocalCluster
) -> None:
    """The second machine of a cluster, with queues and a name of its own."""
    process = start(
        "worker", "--cluster", cluster.url, "--queues", "gpu,cpu", "--slots", "1", "--name", "two"
    )

    def nodes() -> str:
        return distexec("ping", "--cluster", cluster.url).stdout

    eventually(lambda: "1 slots for cpu, gpu" in nodes(), timeout=20.0)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)

    assert process.returncode == 0
    eventually(lambda: "gpu" not in nodes())


def test_metrics_tell_what_to_install(home: Path) -> None:
    """The extra is left out by most, and a traceback would not name it."""
    script = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from distexec.cli import main; main(sys.argv[1:])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, "metrics", "--cluster", NOBODY],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "pip install 'distexec[metrics]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_shows_the_cluster(cluster: LocalCluster) -> None:
    """The first question of every operator, for people and for programs."""
    text = distexec("status", "--cluster", cluster.url)
    data = json.loads(distexec("status", "--cluster", cluster.url, "--json").stdout)

    assert text.returncode == 0, text.stderr
    assert "NODE" in text.stdout
    assert cluster.node in text.stdout
    assert data["nodes"][0]["name"] == cluster.node
    assert data["nodes"][0]["load"]["processors"] > 0
    assert [queue["name"] for queue in data["queues"]] == ["distexec"]


def test_operators_need_neither_celery_nor_pickles(cluster: LocalCluster) -> None:
    """A small machine that watches has no use for them, and unpickles nothing of anybody's."""
    script = (
        "import sys\nfrom distexec.cli import main\nimport distexec.monitor.metrics\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(sorted({'celery', 'kombu', 'cloudpickle'} & set(sys.modules)))"
    )
    for arguments in (["status"], ["purge", "nobodys"]):
        text = subprocess.run(
            [sys.executable, "-c", script, *arguments, "--cluster", cluster.url],
            capture_output=True, text=True, timeout=30, check=True,
        ).stdout  # fmt: skip

        assert text.endswith("[]\n")


def test_config_says_where_values_come_from(tmp_path: Path) -> None:
    """Two answers to one question are told apart by their source; passwords stay hidden."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.distexec]\nurl = 'redis://:s3cret@localhost'\nlinger_seconds = 7\n"
    )
    done = subprocess.run(
        command("config"), capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path
    )

    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert rows["linger_seconds"][0] in ("7", os.environ.get("DISTEXEC_LINGER_SECONDS"))
    assert rows["url"][-1] == str(tmp_path / "pyproject.toml")
    assert "s3cret" not in done.stdout
    assert rows["max_payload_bytes"][-1] == "default"


def test_drained_node_ends(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    """A machine is taken out of the cluster without a call lost, from anywhere."""
    with LocalCluster(1) as home:
        node = start("worker", "--cluster", home.url, "--slots", "1", "--name", "spare@here")
        eventually(lambda: "spare@here" in distexec("ping", "--cluster", home.url).stdout, 30)

        wrong = distexec("drain", "spare", "--cluster", home.url)
        done = distexec("drain", "spare@here", "--cluster", home.url)

        assert wrong.returncode == 1
        assert "no node 'spare' answers: there are" in wrong.stderr
        assert (done.returncode, done.stdout) == (0, "spare@here drains\n")
        assert node.wait(timeout=30) == 0


def test_purge_asks_first(cluster: LocalCluster) -> None:
    """One wrong name must not end a night's work: it shows whose it is, and waits for a yes."""
    with dx.DistributedExecutor(1, cluster=cluster, queue="nowhere", name="nightly") as executor:
        futures = [executor.submit(abs, -1) for _ in range(3)]

        def purge(*options: str, answer: str = "") -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command("purge", "nowhere", "--cluster", cluster.url, *options),
                input=answer, capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip

        # How many wait is told with the demand, which is repeated twice a second.
        all_told = "Cancel those of 3 calls"
        refused = eventually(lambda: done if all_told in (done := purge(answer="n")).stdout else 0)
        assert refused.returncode != 0
        assert not any(future.done() for future in futures)

        assert purge("--yes").returncode == 0
        eventually(lambda: all(future.cancelled() for future in futures))
    assert distexec("purge", "nowhere", "--cluster", cluster.url).stdout == (
        "nothing waits for nowhere\n"
    )


def test_top_lives_in_a_terminal(cluster: LocalCluster) -> None:
    """It draws until q, and leaves the terminal as it was; elsewhere it says what to do."""
    ours, theirs = pty.openpty()
    with ExitStack() as stack:
        stack.callback(os.close, ours)
        before = termios.tcgetattr(theirs)
        process = stack.enter_context(
            subprocess.Popen(
                command("top", "--cluster", cluster.url, "--every", "0.1"),
                stdin=theirs, stdout=theirs, stderr=theirs,
            )
        )  # fmt: skip
        stack.callback(process.kill)
        seen = b""
        while cluster.node.encode() not in seen or seen.count(b"q: quit") < 2:
            assert select.select([ours], [], [], 30)[0], seen
            seen += os.read(ours, 65536)
        os.write(ours, b"q")

        def has_ended() -> bool:
            nonlocal seen
            if select.select([ours], [], [], 0)[0]:
                seen += os.read(ours, 65536)
            return process.poll() is not None

        eventually(has_ended, timeout=30)
        after = termios.tcgetattr(theirs)
        os.close(theirs)

    assert process.returncode == 0
    assert after == before
    assert b"\x1b[?1049h" in seen
    refused = distexec("top", "--cluster", cluster.url)
    assert refused.returncode == 2
    assert "distexec status" in refused.stderr
