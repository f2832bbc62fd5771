"""Find CPython's executor tests, load them, and put other executors in the place of theirs.

The running Python's own ``test`` package has them, if its distributor left them in. Otherwise they
come from Debian, in two packages that are downloaded and unpacked into ``.cache``, not installed.
"""

import concurrent.futures
import concurrent.futures.process
import contextlib
import fcntl
import importlib
import importlib.util
import io
import multiprocessing
import os
import pkgutil
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
SUITE = "test.test_concurrent_futures"
CACHE = Path(__file__).parents[2] / ".cache" / "cpython" / VERSION

#: The test modules, and ``test.support``, which some distributors leave out as well.
PACKAGES = (f"lib{VERSION}-testsuite", f"lib{VERSION}-stdlib")
WANTED = ("test/__init__.py", "test/support/", "test/test_concurrent_futures")

#: Whose executors are tested: a module with the names of ``concurrent.futures``. To test this
#: harness, ``CPYTHON_TESTS_ON=concurrent.futures`` lets the standard pools take their own tests.
SUBJECT = importlib.import_module(os.environ.get("CPYTHON_TESTS_ON", "distexec"))


class Unavailable(Exception):
    """The tests can be had neither from this Python nor from Debian; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test method of CPython, on one kind of executor."""

    test_class: type[unittest.TestCase]
    method: str
    executor: str
    #: Tested on another kind of executor already: this one takes it only in a full run.
    again: bool = False

    @property
    def group(self) -> str:
        """What the test is about, such as ``Wait``; thread pools have some of their own."""
        name = self.test_class.__name__.removeprefix("ProcessPoolSpawn").removeprefix("ProcessPool")
        return name.removesuffix("Tests").removesuffix("Test")

    @property
    def name(self) -> str:
        """How lists refer to the test: ``Wait.test_timeout``."""
        return f"{self.group}.{self.method}"


def load() -> list[Case]:
    """Return every distinct test of CPython's suite, ready to run on the executors of `SUBJECT`.

    Raises:
        Unavailable: There is no suite for the running Python.
    """
    modules = _import_suite()
    for module in modules:
        _swap(module)
    classes = {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, unittest.TestCase)
    }
    return list(_choose(classes))


def _choose(classes: dict[str, type[unittest.TestCase]]) -> Iterator[Case]:
    """Take each test once: the suite has the same ones for every pool and every start method."""
    for name, test_class in sorted(classes.items()):
        for method in unittest.defaultTestLoader.getTestCaseNames(test_class):
            if name == "FutureTests":
                yield Case(test_class=test_class, method=method, executor="Future")
            elif name.startswith("ThreadPool"):
                again = method not in vars(test_class)  # inherited by the process pools' as well
                yield _case(test_class, method, "ThreadPoolExecutor", again=again)
            elif name.startswith("ProcessPoolSpawn"):
                needs_processes = "ProcessPoolExecutor" in name or "Deadlock" in name
                executor = "ProcessPoolExecutor" if needs_processes else "DistributedExecutor"
                yield _case(test_class, method, executor)


def _case(test_class: Any, method: str, executor: str, *, again: bool = False) -> Case:
    # Set in place: a method of a subclass made here could not be sent to a worker by its name.
    test_class.executor_type = getattr(SUBJECT, executor, concurrent.futures.ProcessPoolExecutor)
    return Case(test_class=test_class, method=method, executor=executor, again=again)


# Swapping -------------------------------------------------------------------------------------


def _swap(module: ModuleType) -> None:
    """Make *module*'s global names, and the scripts it starts, use `SUBJECT`."""
    if hasattr(module, "assert_python_ok"):
        module.assert_python_ok = run_script
    if hasattr(module, "futures"):
        module.futures = _Futures()
    if hasattr(module, "Future"):
        module.Future = SUBJECT.Future
    if hasattr(module, "threading_helper"):
        # It waits for every thread to end, and a session's outlive its executors for a moment. What
        # stays for good is found by conftest.py.
        module.threading_helper.threading_cleanup = lambda *key: None
    mixin = getattr(module, "ProcessPoolSpawnMixin", None)
    if SUBJECT is not concurrent.futures and hasattr(mixin, "ctx"):
        # Without ``ctx`` they pass neither start methods nor queues that only children can use.
        del mixin.ctx
        mixin.get_context = lambda self: multiprocessing.get_context("spawn")


class _Futures:
    """`SUBJECT`, and behind it what the tests take from the standard library's inside."""

    def __getattr__(self, name: str) -> object:
        return getattr(SUBJECT if hasattr(SUBJECT, name) else concurrent.futures, name)


def run_script(*args: str) -> tuple[int, bytes, bytes]:
    """Stand in for ``assert_python_ok("-c", code)``: the code imports from `SUBJECT`."""
    code = args[-1].replace("from concurrent.futures import", f"from {SUBJECT.__name__} import")
    suite = sys.modules["test"].__path__[0]
    path = os.pathsep.join(filter(None, [os.path.dirname(suite), os.environ.get("PYTHONPATH")]))
    finished = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr.decode()
    return finished.returncode, finished.stdout, finished.stderr


# Finding --------------------------------------------------------------------------------------


def _import_suite() -> list[ModuleType]:
    """Import the suite: one module in 3.11, a package of modules in later versions."""
    if importlib.util.find_spec(SUITE) is None:
        with _alone():
            if not CACHE.exists():
                _download(CACHE)
        for name in [name for name in sys.modules if name.partition(".")[0] == "test"]:
            del sys.modules[name]
        sys.path.insert(0, str(CACHE))
    try:
        suite = importlib.import_module(SUITE)
        parts = pkgutil.iter_modules(getattr(suite, "__path__", []), prefix=f"{SUITE}.")
        return [suite, *(importlib.import_module(part.name) for part in parts)]
    except (ImportError, unittest.SkipTest) as error:
        raise Unavailable(f"{SUITE} cannot be imported: {error}") from error


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time look and fetch: tests may run in several."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with open(CACHE.parent / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(folder: Path) -> None:
    """Fetch what is `WANTED` from Debian's packages into *folder*, all or nothing."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Unavailable(f"this Python has no {SUITE}, and there is no apt-get to fetch Debian's")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        _apt_get_download(temporary)
        for archive in Path(temporary).glob("*.deb"):
            _unpack(archive, Path(temporary, "unpacked"))
        Path(temporary, "unpacked").rename(folder)


def _apt_get_download(folder: str) -> None:
    command = ["apt-get", "download", "--quiet", *PACKAGES]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if finished.returncode and os.geteuid() == 0:  # perhaps only the lists of packages are missing
        subprocess.run(["apt-get", "update", "--quiet"], capture_output=True)
        finished = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if finished.returncode:
        raise Unavailable(f"{' '.join(command)} failed: {finished.stderr.strip()}")


def _unpack(archive: Path, folder: Path) -> None:
    """Extract what is `WANTED`; the rest would shadow the running Python's standard library."""
    command = ["dpkg-deb", "--fsys-tarfile", archive]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    prefix = f"./usr/lib/{VERSION}/"
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            name = member.name.removeprefix(prefix)
            if member.isfile() and name.startswith(WANTED):
                member.name = name
                tar.extract(member, folder, filter="data")
