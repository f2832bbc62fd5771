"""``import distexec`` costs next to nothing, and is ``concurrent.futures`` by every public name."""

import concurrent.futures
import json
import subprocess
import sys

import pytest

import distexec

#: Public names of ``concurrent.futures`` in its newest version, 3.14: older ones have fewer.
NEWEST_NAMES = (
    "ALL_COMPLETED",
    "BrokenExecutor",
    "CancelledError",
    "Executor",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Future",
    "InterpreterPoolExecutor",
    "InvalidStateError",
    "ProcessPoolExecutor",
    "ThreadPoolExecutor",
    "TimeoutError",
    "as_completed",
    "wait",
)

#: The standard library's own objects; the others are ours, with the same signatures.
SAME_OBJECTS = (
    "ALL_COMPLETED",
    "BrokenExecutor",
    "CancelledError",
    "Executor",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "InterpreterPoolExecutor",
    "InvalidStateError",
    "TimeoutError",
)

HERE = {name for name in NEWEST_NAMES if hasattr(concurrent.futures, name)}

HEAVY_MODULES = ("asyncio", "celery", "cloudpickle", "kombu", "redis")


def in_a_fresh_process(code: str) -> object:
    """Run *code*, which prints JSON, in a new interpreter; return what it printed."""
    command = [sys.executable, "-c", code]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


def test_import_loads_nothing_heavy() -> None:
    """A program that never submits must not pay for the cluster's libraries."""
    loaded = in_a_fresh_process("import distexec, json, sys; print(json.dumps(list(sys.modules)))")

    assert set(HEAVY_MODULES).isdisjoint(loaded)


def test_an_executor_loads_no_library_before_the_cluster_starts() -> None:
    """Server and node boot while the caller imports what speaks to them: half a second together."""
    loaded = in_a_fresh_process(
        "import distexec, json, sys; distexec.DistributedExecutor(2);"
        "print(json.dumps(list(sys.modules)))"
    )

    assert {"celery", "kombu", "redis"}.isdisjoint(loaded)


def test_import_starts_no_thread_and_no_process() -> None:
    """Importing is free of effects: the cluster starts with the first submit."""
    code = (
        "import distexec, json, psutil, threading;"
        "print(json.dumps([threading.active_count(), len(psutil.Process().children())]))"
    )

    assert in_a_fresh_process(code) == [1, 0]


@pytest.mark.parametrize("name", sorted(HERE))
def test_every_name_of_the_newest_concurrent_futures_exists(name: str) -> None:
    """``import distexec as futures`` must not break on a name that the running Python has."""
    assert hasattr(distexec, name)


def test_no_name_of_the_running_python_is_missing() -> None:
    """A later Python may add names; then the list above is out of date, and so is the package."""
    missing = {name for name in concurrent.futures.__all__ if not hasattr(distexec, name)}

    assert not missing


@pytest.mark.parametrize("name", sorted(HERE.intersection(SAME_OBJECTS)))
def test_constants_and_exceptions_are_the_standard_librarys(name: str) -> None:
    """``except concurrent.futures.CancelledError`` elsewhere in a program must catch ours."""
    assert getattr(distexec, name) is getattr(concurrent.futures, name)


def test_future_is_a_future() -> None:
    """``isinstance(f, concurrent.futures.Future)`` is how asyncio and others recognise one."""
    assert issubclass(distexec.Future, concurrent.futures.Future)


def test_star_import_brings_what_the_standard_library_brings() -> None:
    """``from concurrent.futures import *`` is rewritten to ours by the codemod."""
    assert set(concurrent.futures.__all__) <= set(distexec.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    """Lazy names must not swallow typing errors."""
    with pytest.raises(AttributeError, match="no attribute 'ThreadPoolExecuter'"):
        distexec.ThreadPoolExecuter  # noqa: B018
