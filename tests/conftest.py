"""What tests share: short expiries, waiting without sleeping, a watch for what is left behind."""

import contextlib
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

#: Expiries and beats of this run and of every process it starts: short enough that a test of a lost
#: node takes seconds, long enough for two busy processors. A test that needs others sets its own.
SHORT_SETTINGS = {
    "DISTEXEC_BEAT_SECONDS": "0.25",
    "DISTEXEC_NODE_EXPIRY_SECONDS": "2",
    "DISTEXEC_SESSION_EXPIRY_SECONDS": "5",
    "DISTEXEC_KEY_EXPIRY_SECONDS": "15",
    "DISTEXEC_LINGER_SECONDS": "0.5",
    "DISTEXEC_CLUSTER_LINGER_SECONDS": "1",
    "DISTEXEC_UNAVAILABLE_SECONDS": "10",
    "DISTEXEC_NO_WORKER_WARNING_SECONDS": "1",
}

#: An environment variable that every process started by this run inherits: orphans are found by it.
MARK = "DISTEXEC_TEST_RUN"

#: Time that what a module's tests started has to end after them: a cluster lingers, then exits.
LEFTOVER_SECONDS = 15.0

#: Whether a test ended the process it ran in.
BROUGHT_DOWN = pytest.StashKey[bool]()

T = TypeVar("T")


def eventually(check: Callable[[], T], timeout: float = 10.0) -> T:
    """Return what *check* returns as soon as that is true; an AssertionError in it counts as false.

    Args:
        timeout: Seconds after which the last false value, or AssertionError, fails the test.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            value = check()
            if value:
                return value
            failure = AssertionError(f"still {value!r} after {timeout} s")
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure
        time.sleep(0.005)


@pytest.fixture(name="eventually", scope="session")
def eventually_fixture() -> Callable[..., object]:
    """The function above, for tests that would rather not import it."""
    return eventually


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the environment before any test module can import the package or start a process."""
    for name in [name for name in os.environ if name.startswith("DISTEXEC_")]:
        del os.environ[name]  # a developer's own cluster is not to be tested on
    os.environ.update(SHORT_SETTINGS)
    # A shell ignores it in what it starts in the background; the programs started here would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ[MARK] = uuid.uuid4().hex
    # Our own folder shows what was left in it. Its name is short: a socket's path has 108 bytes.
    folder = tempfile.mkdtemp(prefix="dx", dir="/tmp" if Path("/tmp").is_dir() else None)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["TMPDIR"] = tempfile.tempdir = folder


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """Let a run fail for good in which a test brought its process down: others were not run."""
    if error:
        node.config.stash[BROUGHT_DOWN] = True  # type: ignore[attr-defined]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell of it: failed tests alone would be run again, and then be all."""
    if session.config.stash.get(BROUGHT_DOWN, False):
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def leftovers() -> dict[object, str]:
    """Return what this run has started and not ended: an identity and a description of each."""
    found: dict[object, str] = {}
    for thread in threading.enumerate():
        found[thread] = f"thread {thread.name}"
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == os.environ[MARK]:
                command = " ".join(process.cmdline())
                if "multiprocessing." not in command:  # its helpers stay as long as their program
                    found[process] = f"process {process.pid}: {command[:120]}"
        except psutil.Error:  # ended meanwhile, or another user's
            continue
    for folder, _, names in os.walk(tempfile.gettempdir()):
        for path in (Path(folder, name) for name in names):
            try:
                if stat.S_ISSOCK(path.lstat().st_mode):
                    found[path] = f"socket {path}"
            except FileNotFoundError:
                continue
    for path in Path(tempfile.gettempdir()).iterdir():
        if not path.name.startswith("pytest-"):
            inside = sorted(os.listdir(path)) if path.is_dir() else "a file"
            found[path] = f"left in the temporary folder: {path} ({inside})"
    return found


@pytest.fixture(autouse=True, scope="module")
def nothing_left_behind() -> Iterator[None]:
    """After a module's tests no thread, process, socket or folder remains that is theirs."""
    before = leftovers()
    yield

    def is_clean() -> bool:
        remaining = [text for key, text in leftovers().items() if key not in before]
        assert not remaining, "left behind:\n  " + "\n  ".join(remaining)
        return True

    try:
        eventually(is_clean, LEFTOVER_SECONDS)
    except AssertionError:
        for left in leftovers().keys() - before.keys():
            if isinstance(left, psutil.Process):
                with contextlib.suppress(psutil.Error):  # Ended meanwhile.
                    left.kill()
        raise
