"""The embedded cluster lets nobody in, and ends with its owner, however that ends."""

import _thread
import gc
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import distexec.engine
from conftest import eventually
from distexec.engine import keeper, node_process, server
from distexec.engine.local import LocalCluster
from distexec.errors import ClusterUnavailable
from distexec.store.endpoint import Endpoint
from distexec.wire import secret

#: Seconds after its owner in which everything must be gone: half a second of grace, and some more
#: for a machine that tests something else beside.
GONE_SECONDS = 2.0

#: Guard, server and supervisor; the node's main process and a child for each of two slots.
OWN = 3
WHOLE = OWN + 3

SOURCE = str(Path(distexec.engine.__file__).parents[2])

#: A program that owns a cluster; it goes on to its end when it is told to.
PROGRAM = """
import os, signal, sys
sys.path.insert(0, {source!r})
from distexec.engine.local import LocalCluster
cluster = LocalCluster(2)
cluster.wait_ready()
print(cluster.url, flush=True)
{before}
sys.stdin.readline()
{end}
"""


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """A cluster whose server answers."""
    with LocalCluster(2) as made:
        yield made


@pytest.fixture
def program() -> Iterator[Callable[..., tuple[subprocess.Popen[str], list[psutil.Process], Path]]]:
    """Starts a program with a cluster; returns it, its descendants, and the cluster's folder."""
    started: list[subprocess.Popen[str]] = []

    def start(
        end: str = "", before: str = "", size: int = WHOLE
    ) -> tuple[subprocess.Popen[str], list[psutil.Process], Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(source=SOURCE, end=end, before=before)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        folder = Endpoint.parse(process.stdout.readline().strip()).folder
        assert folder is not None
        assert folder.is_dir()
        return process, whole(process.pid, size), folder

    yield start
    for process in started:
        with process:
            process.kill()


def whole(pid: int, size: int = WHOLE) -> list[psutil.Process]:
    """The descendants of a cluster's owner, when so many have started."""

    def look() -> list[psutil.Process]:
        found = psutil.Process(pid).children(recursive=True)
        return found if len(found) >= size else []

    return eventually(look)


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended; reaped or not, since a container's first process may reap nobody."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def nothing_remains(processes: list[psutil.Process], folder: Path) -> bool:
    alive = [str(process) for process in processes if not is_gone(process)]
    assert not alive
    assert not folder.exists()
    return True


def folder_of(cluster: LocalCluster) -> Path:
    folder = cluster.endpoint.folder
    assert folder is not None
    return folder


def server_of(cluster: LocalCluster) -> psutil.Process:
    return own_child(str(folder_of(cluster) / server.SOCKET_FILE))


def own_node(but: psutil.Process | None = None) -> psutil.Process:
    return own_child("distexec.engine.supervisor", but)


def own_guard(but: psutil.Process | None = None) -> psutil.Process:
    return own_child("distexec-guard", but)


def own_child(word: str, but: psutil.Process | None = None) -> psutil.Process:
    """The one with *word* in its command line, which a new process does not have at once."""
    return eventually(
        lambda: next(
            (each for each in own_children() if word in cmdline(each) and each != but), None
        )
    )


def own_children() -> list[psutil.Process]:
    return psutil.Process().children()


def cmdline(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


# What a cluster is.


def test_repr_is_an_instrument(cluster: LocalCluster) -> None:
    """It is what people see first, and paste into bug reports."""
    pid = server_of(cluster).pid

    assert repr(cluster).startswith("<LocalCluster running | 2 slots | valkey 9.")
    assert repr(cluster).endswith(f" | pid {pid}>")
    assert cluster.endpoint.password not in repr(cluster)


def test_slots_are_the_processors_unless_told() -> None:
    """The default of ProcessPoolExecutor, and nothing is started for asking."""
    made = LocalCluster()

    assert made.slots == len(os.sched_getaffinity(0))
    assert repr(made) == f"<LocalCluster not started | {made.slots} slots>"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"workers": 0}, ValueError),
        ({"workers": -1}, ValueError),
        ({"workers": 1.5}, TypeError),
        ({"workers": True}, TypeError),
        ({"workers": "2"}, TypeError),
        ({"queues": "distexec"}, ValueError),
        ({"queues": ()}, ValueError),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception]) -> None:
    """At once, and naming the argument: a cluster that cannot serve would only be slow to fail."""
    with pytest.raises(error, match=next(iter(arguments))):
        LocalCluster(**arguments)


def test_url_carries_no_secret_and_is_enough(cluster: LocalCluster) -> None:
    """A second program of the same user gets the URL, by hand or environment, and nothing else."""
    endpoint = Endpoint.parse(cluster.url)

    assert cluster.url == f"redis+socket://{folder_of(cluster)}/server.sock"
    assert endpoint == cluster.endpoint
    assert secret.load({"HOME": "/nowhere"}, beside=endpoint.folder) == (cluster.secret,)


def test_only_its_owner_can_reach_it(cluster: LocalCluster) -> None:
    """Whoever can write to the server, or sign, runs code as the user."""
    folder = folder_of(cluster)
    listening = [
        each
        for process in [psutil.Process(), *whole(os.getpid())]
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    ]

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("server.sock", "server.password", "secret.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    assert listening == []


def test_secrets_are_in_no_command_line_and_no_environment(cluster: LocalCluster) -> None:
    """`ps` shows the one to everybody, and every child of a child inherits the other."""
    words = [cluster.endpoint.password or "", secret.to_text(cluster.secret), cluster.secret.hex()]

    for process in whole(os.getpid()):
        seen = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        seen += Path(f"/proc/{process.pid}/environ").read_bytes()
        for word in words:
            assert word.encode() not in seen, process


def test_cluster_grows_when_asked(cluster: LocalCluster) -> None:
    """``max_workers`` may be larger than the processors; it never makes a cluster smaller."""
    whole(os.getpid())

    cluster.grow(4)
    cluster.grow(3)

    whole(os.getpid(), WHOLE + 2)
    assert cluster.slots == 4


def test_cluster_that_has_not_started_grows_for_nothing() -> None:
    """The executor's limit is known before its first call."""
    made = LocalCluster(1)

    made.grow(5)

    assert repr(made) == "<LocalCluster not started | 5 slots>"


def test_start_waits_for_nobody() -> None:
    """The caller imports its libraries while server and node boot."""
    made = LocalCluster(2).start()

    assert repr(made).startswith("<LocalCluster starting | 2 slots | pid ")
    assert made.start() is made
    made.close()


# How it ends.


def test_close_leaves_nothing(cluster: LocalCluster) -> None:
    """No process, no zombie, no thread, no folder; and a second close does no harm."""
    processes, folder = whole(os.getpid()), folder_of(cluster)

    cluster.close()
    cluster.close()

    eventually(lambda: nothing_remains(processes, folder), GONE_SECONDS)
    assert own_children() == [], "not even to be reaped"
    assert not folder.exists()
    assert "distexec-keeper" not in [thread.name for thread in threading.enumerate()]
    assert repr(cluster).startswith("<LocalCluster closed")
    with pytest.raises(ClusterUnavailable, match="was closed"):
        cluster.endpoint  # noqa: B018


def test_close_from_another_thread(cluster: LocalCluster) -> None:
    """Sessions end on threads of their own."""
    processes, folder = whole(os.getpid()), folder_of(cluster)
    thread = threading.Thread(target=cluster.close)

    thread.start()
    thread.join()

    eventually(lambda: nothing_remains(processes, folder), GONE_SECONDS)


def test_forgotten_cluster_ends(cluster: LocalCluster) -> None:
    """Nobody can close what nobody holds."""
    forgotten = LocalCluster(1).start()
    folder, before = folder_of(forgotten), len(own_children())

    del forgotten
    gc.collect()

    eventually(lambda: not folder.exists(), GONE_SECONDS)
    eventually(lambda: len(own_children()) == before - OWN, GONE_SECONDS)
    cluster.wait_ready()


@pytest.mark.parametrize(
    "end",
    [
        "",
        "cluster.close()",
        "sys.exit(3)",
        "1 / 0",
        "os._exit(0)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGHUP)",
        "os.abort()",
        "os.execv('/bin/true', ['true'])",
        "import threading; threading.Thread(target=os._exit, args=(1,)).start()",
        "for each in range(3, 1024):\n    try: os.close(each)\n    except OSError: pass",
    ],
)
def test_everything_ends_with_the_program(program: Any, end: str) -> None:
    """However it ends: what it leaves behind would run, and stay reachable, for ever."""
    process, others, folder = program(end, size=WHOLE if "SIGKILL" in end else OWN)

    process.stdin.write("\n")
    process.stdin.close()
    process.wait(timeout=10)

    eventually(lambda: nothing_remains(others, folder), GONE_SECONDS)


def test_calls_that_ignore_signals_end_too(program: Any) -> None:
    """SIGTERM is a request; half a second after a killed owner nobody is left to ask for more."""
    process, others, folder = program()
    for each in others:
        if "supervisor" in cmdline(each):
            each.suspend()  # Deaf, as a call that blocks signals is.

    process.kill()

    eventually(lambda: nothing_remains(others, folder), GONE_SECONDS)


def test_ctrl_c_reaches_the_program_and_not_the_cluster(program: Any) -> None:
    """A terminal signals the whole group; calls in the workers go on while the program decides."""
    process, others, folder = program(
        before="try: signal.pause()\nexcept KeyboardInterrupt: print('caught', flush=True)"
    )

    os.killpg(process.pid, signal.SIGINT)

    assert process.stdout.readline() == "caught\n"
    assert not any(map(is_gone, others))
    process.stdin.close()
    process.wait(timeout=10)
    eventually(lambda: nothing_remains(others, folder), GONE_SECONDS)


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit()", "cluster.close()", "del cluster"])
def test_forked_child_does_not_end_the_cluster(program: Any, end: str) -> None:
    """multiprocessing forks by default on Linux; the copy of the object is not the owner."""
    before = f"child = os.fork()\nif not child:\n    {end}\n    os._exit(0)\nos.waitpid(child, 0)"
    process, others, folder = program(before=f"{before}\nprint('forked', flush=True)", size=OWN)

    assert process.stdout.readline() == "forked\n"
    cluster = Endpoint.parse(f"redis+socket://{folder}/server.sock")
    assert server.greet(folder, cluster.password or "", timeout=5.0)
    process.stdin.close()
    process.wait(timeout=10)
    eventually(lambda: nothing_remains(others, folder), GONE_SECONDS)


def test_forked_child_does_not_keep_the_cluster(program: Any) -> None:
    """It inherits the guard's pipe: it must not hold it open when the program is killed."""
    process, others, folder = program(
        before="child = os.fork()\nif not child:\n    signal.pause()\nprint(child, flush=True)",
        size=OWN + 1,
    )
    child = psutil.Process(int(process.stdout.readline()))

    process.kill()

    eventually(lambda: nothing_remains([each for each in others if each != child], folder), 2.0)
    assert not is_gone(child)
    child.kill()


def test_forked_child_may_use_the_cluster(cluster: LocalCluster) -> None:
    """A cluster held explicitly is there to be shared; the child knows its URL and secret."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    child = context.Process(target=lambda: sender.send((cluster.url, cluster.secret)))
    child.start()

    assert receiver.recv() == (cluster.url, cluster.secret)
    child.join()


# What goes wrong.


def test_lost_server_is_told_and_everything_ends(cluster: LocalCluster) -> None:
    """Calls that wait for it fail with this text, instead of waiting for a server that is gone."""
    processes, folder = whole(os.getpid()), folder_of(cluster)

    server_of(cluster).kill()

    eventually(lambda: cluster.failed, GONE_SECONDS)
    assert "server (pid " in (cluster.failed or "")
    assert "killed by SIGKILL" in (cluster.failed or "")
    assert repr(cluster).startswith("<LocalCluster failed")
    eventually(lambda: nothing_remains(processes, folder), GONE_SECONDS)
    with pytest.raises(ClusterUnavailable, match="killed by SIGKILL"):
        cluster.endpoint  # noqa: B018


def test_lost_node_is_started_again(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node can be killed by accident or for its memory; its calls run again on the next one."""
    monkeypatch.setattr(keeper, "_SHORTEST_NODE_LIFE_SECONDS", 0.0)
    whole(os.getpid())
    node = own_node()
    below = node.children(recursive=True)

    node.kill()

    own_node(but=node)
    eventually(lambda: all(map(is_gone, below)), GONE_SECONDS)
    whole(os.getpid())
    assert cluster.failed is None


def test_node_that_cannot_live_fails_the_cluster(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting it for ever would hang every call; the first death says what is wrong."""
    monkeypatch.setattr(keeper, "_SHORTEST_NODE_LIFE_SECONDS", 1000.0)

    own_node().kill()

    eventually(lambda: cluster.failed, GONE_SECONDS)
    assert "node (pid " in (cluster.failed or "")


def test_lost_guard_is_replaced(cluster: LocalCluster) -> None:
    """Without a guard, a killed program would leave everything behind."""
    guard = own_guard()

    guard.kill()

    own_guard(but=guard)
    processes, folder = whole(os.getpid()), folder_of(cluster)
    cluster.close()
    eventually(lambda: nothing_remains(processes, folder), GONE_SECONDS)


def test_guard_that_is_killed_at_the_end_is_not_missed(cluster: LocalCluster) -> None:
    """The owner is alive then, and does its work."""
    processes, folder = whole(os.getpid()), folder_of(cluster)
    own_guard().suspend()  # It will not read that it was let go.
    closing = threading.Thread(target=cluster.close)
    closing.start()

    eventually(lambda: repr(cluster).startswith("<LocalCluster closed"))
    own_guard().kill()

    closing.join()
    eventually(lambda: nothing_remains(processes, folder), GONE_SECONDS)


def test_interrupted_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes when it comes, most likely while something seems to take long."""
    real, folders = node_process.launch_node, []

    def launch(folder: Path, *arguments: Any, **options: Any) -> Any:
        folders.append(folder)
        process = real(folder, *arguments, **options)
        _thread.interrupt_main()
        return process

    monkeypatch.setattr(node_process, "launch_node", launch)

    with pytest.raises(KeyboardInterrupt):
        LocalCluster(1).start().wait()

    eventually(lambda: own_children() == [], GONE_SECONDS)
    assert not folders[0].exists()


def test_server_that_does_not_start_is_told_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is in a folder that is gone by then: its end belongs in the error."""
    path = tmp_path / "server"
    path.write_text(
        "#!/bin/sh\n"
        'case $1 in --version) echo "Valkey server v=9.9.9";; '
        "*) cat >/dev/null; echo 'wrong libc' >&2; exit 4;; esac"
    )
    path.chmod(0o755)
    monkeypatch.setenv("DISTEXEC_SERVER", str(path))
    made = LocalCluster(1)

    with pytest.raises(ClusterUnavailable, match=r"server \(pid \d+\) exited with code 4\n.*libc"):
        made.wait_ready()

    with pytest.raises(ClusterUnavailable, match="wrong libc"):
        made.start()
    eventually(lambda: own_children() == [], GONE_SECONDS)


def test_missing_server_is_told_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second submit must not fail with another error than the first."""
    monkeypatch.setenv("DISTEXEC_SERVER", "/no/server")
    made = LocalCluster(1)

    for _ in range(2):
        with pytest.raises(ClusterUnavailable, match="DISTEXEC_SERVER: /no/server does not run"):
            made.start()

    assert made.failed is not None
    assert own_children() == []


def test_server_that_does_not_answer_is_told_in_time(cluster: LocalCluster) -> None:
    """A hang would say nothing."""
    stopped = LocalCluster(1).start()
    server_of(stopped).suspend()

    with pytest.raises(ClusterUnavailable, match=r"did not answer within 0\.2 seconds"):
        stopped.wait_ready(timeout=0.2)

    stopped.close()


# The cluster that executors of one process share.


def test_process_has_one_cluster() -> None:
    """Ten executors must not start ten servers."""
    shared = LocalCluster.of_this_process()

    assert LocalCluster.of_this_process() is shared
    assert repr(shared).startswith("<LocalCluster not started")


def test_shared_cluster_lingers_and_ends() -> None:
    """The next executor finds it warm; a program that goes on without executors does not pay."""
    shared = LocalCluster.of_this_process()
    shared.acquire()
    shared.start()
    folder = folder_of(shared)
    shared.acquire()
    shared.release()
    shared.release()

    assert folder.exists()
    assert LocalCluster.of_this_process() is shared
    eventually(lambda: not folder.exists(), 5.0)
    assert LocalCluster.of_this_process() is not shared
    eventually(lambda: own_children() == [], GONE_SECONDS)


def test_shared_cluster_stays_while_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """An executor that pauses longer than the linger keeps its cluster."""
    monkeypatch.setenv("DISTEXEC_CLUSTER_LINGER_SECONDS", "0.05")
    shared = LocalCluster.of_this_process()
    shared.acquire()
    shared.start()
    shared.acquire()
    shared.release()

    assert not any("linger" in thread.name for thread in threading.enumerate())
    assert shared.failed is None
    shared.release()
    eventually(lambda: own_children() == [], 5.0)


def test_lost_shared_cluster_is_replaced() -> None:
    """The next executor of a long-lived program must work again."""
    shared = LocalCluster.of_this_process()
    shared.acquire()
    shared.wait_ready()
    server_of(shared).kill()
    eventually(lambda: shared.failed)

    assert LocalCluster.of_this_process() is not shared
    shared.release()
    eventually(lambda: own_children() == [], GONE_SECONDS)


def test_forked_child_gets_a_cluster_of_its_own() -> None:
    """Its parent may end any time, and take the shared cluster along."""
    shared = LocalCluster.of_this_process()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    child = context.Process(target=lambda: sender.send(LocalCluster.of_this_process() is shared))
    child.start()

    assert receiver.recv() is False
    child.join()


# The node's surroundings.


def test_numerical_libraries_share_the_processors() -> None:
    """Four slots that start eight threads each on eight processors run slower than one."""
    environment = node_process.node_environment({"MKL_NUM_THREADS": "7"}, slots=4, processors=8)

    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "2"
    assert environment["MKL_NUM_THREADS"] == "7"
    assert node_process.node_environment({}, slots=9, processors=2)["OMP_NUM_THREADS"] == "1"


def test_environment_is_the_callers_with_bytecode() -> None:
    """Calls see the variables that they see in a thread; imports are not paid for twice."""
    environment = node_process.node_environment(
        {"MINE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/a:/b"}, slots=1
    )

    assert environment["MINE"] == "1"
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["PYTHONPATH"].endswith("/a:/b")


def test_import_path_is_absolute() -> None:
    """A relative entry means something else after the first `chdir` in a call."""
    assert node_process.import_path(["", "lib", "/x/", "/x", b"no", "/"], "/here") == [
        "/here",
        "/here/lib",
        "/x",
        "/",
    ]


def test_program_in_a_removed_folder_has_a_cluster() -> None:
    """Build tools do that; every path that is looked up from there fails."""
    script = (
        "import os, sys, tempfile\n"
        f"sys.path.insert(0, {SOURCE!r})\n"
        "folder = tempfile.mkdtemp(); os.chdir(folder); os.rmdir(folder)\n"
        "from distexec.engine.local import LocalCluster\n"
        "with LocalCluster(1) as cluster: print(repr(cluster))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.stdout.startswith("<LocalCluster running"), done.stderr


def test_service_without_standard_files_has_a_cluster(tmp_path: Path) -> None:
    """The guard's pipe must not become descriptor 1, which the node inherits and holds open."""
    told = tmp_path / "url"
    script = (
        "import os, signal, sys\n"
        f"sys.path.insert(0, {SOURCE!r})\n"
        "for descriptor in 0, 1, 2: os.close(descriptor)\n"
        "from distexec.engine.local import LocalCluster\n"
        "cluster = LocalCluster(1)\n"
        "cluster.wait_ready()\n"
        f"with open({str(told)!r}, 'w') as file: file.write(cluster.url)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], timeout=30, check=False)

    assert done.returncode == -signal.SIGKILL
    folder = Endpoint.parse(told.read_text()).folder
    assert folder is not None
    eventually(lambda: not folder.exists(), GONE_SECONDS)


def test_orders_name_everything_the_node_needs(cluster: LocalCluster) -> None:
    """The endpoint travels with its password: by pipe, and in a form that the node reads back."""
    fields = json.loads(cluster.endpoint.to_json())

    assert fields["path"] == str(folder_of(cluster) / server.SOCKET_FILE)
