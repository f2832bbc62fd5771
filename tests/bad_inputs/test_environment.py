"""Rows 73 and 74: the process and the machine around the caller."""

from pathlib import Path

import pytest

from properties import scripts
from properties.worlds import OURS, World, on

_WORK = """
with make(2) as executor:
    print(list(executor.map(calls.square, range(10))))
"""
_RESULT = f"{[n * n for n in range(10)]}\n"


@on(*OURS)
def test_nothing_of_the_callers_process_is_replaced(world: World, tmp_path: Path) -> None:
    """Signal handlers, hooks and modules are the program's; a library is a guest."""
    body = f"""
import socket, subprocess, logging, warnings
def state():
    return (
        [signal.getsignal(n) for n in sorted(signal.valid_signals()) if n not in (9, 19)],
        signal.getitimer(signal.ITIMER_REAL), signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook,
        socket.socket, subprocess.Popen, time.sleep, threading.Thread, os.fork,
        logging.getLogger().handlers[:], logging.getLogger().level, logging.getLoggerClass(),
        list(warnings.filters), os.getcwd(), os.umask(0o022), sys.getswitchinterval(),
        sys.getrecursionlimit(), sys.stdout, sys.stderr, sorted(os.environ.items()),
    )
os.umask(0o022)
before = state()
{_WORK}
after = state()
print([(x, y) for x, y in zip(before, after) if x != y])
"""

    assert scripts.run(world.name, body, tmp_path) == (0, f"{_RESULT}[]\n", "")


@on(*OURS)
def test_executor_works_from_any_thread(world: World, tmp_path: Path) -> None:
    """A web server makes it in a request's thread, where no signal handler can be set."""
    body = f"""
def work():
{_WORK.replace(chr(10), chr(10) + "    ")}
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""

    assert scripts.run(world.name, body, tmp_path) == (0, _RESULT, "")


@on(*OURS)
def test_executor_works_beside_a_running_event_loop(world: World, tmp_path: Path) -> None:
    """Notebooks run everything inside one."""
    body = f"""
import asyncio
async def work():
{_WORK.replace(chr(10), chr(10) + "    ")}
asyncio.run(work())
"""

    assert scripts.run(world.name, body, tmp_path) == (0, _RESULT, "")


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "/nonexistent"},
        {"HOME": ""},
        {"TMPDIR": "/nonexistent"},
        {"PATH": "/nonexistent"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"},
        {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
        {"PYTHONWARNINGS": "error"},
        {"LONG": "x" * 100_000},
    ],
    ids=lambda environment: "-".join(environment),
)
@on("embedded")
def test_embedded_cluster_needs_little(
    world: World, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Containers, services and cron jobs have odd environments."""
    code, output, errors = scripts.run(world.name, _WORK, tmp_path, environment=environment)

    assert (code, output, errors) == (0, _RESULT, "")


@on("embedded")
def test_temporary_folder_with_a_long_name_is_no_obstacle(world: World, tmp_path: Path) -> None:
    """A unix socket's path has room for 108 bytes; temporary folders are longer on some systems."""
    long = tmp_path / ("long" * 30)
    long.mkdir()

    result = scripts.run(world.name, _WORK, tmp_path, environment={"TMPDIR": str(long)})

    assert result == (0, _RESULT, "")


@pytest.mark.parametrize("limit", [12, 64, 256])
@on("embedded")
def test_few_descriptors_are_enough_or_named(world: World, tmp_path: Path, limit: int) -> None:
    """It works, or fails within seconds by an error that a person can act on; it never hangs."""
    body = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
began = time.monotonic()
try:
    with make(2) as executor:
        print(list(executor.map(calls.square, range(10), timeout=20)))
except Exception as error:
    print(type(error).__name__, error)
print(time.monotonic() - began < 10)
"""

    code, output, errors = scripts.run(world.name, body, tmp_path)

    assert (code, errors) == (0, "")
    answer, _, prompt = output.rstrip().rpartition("\n")
    assert answer + "\n" == _RESULT or "open file" in answer or "descriptor" in answer
    assert prompt == "True"


@pytest.mark.parametrize("value", ["-1", "0", "nan", "soon"])
def test_senseless_setting_is_refused_by_its_name(tmp_path: Path, value: str) -> None:
    """A setting comes from a file that somebody else wrote."""
    body = """
try:
    make(1).submit(calls.nothing).result(timeout=20)
except ValueError as error:
    print(error)
"""

    code, output, errors = scripts.run(
        "twin", body, tmp_path, environment={"DISTEXEC_BEAT_SECONDS": value}
    )

    assert (code, errors) == (0, "")
    assert "beat_seconds" in output.lower()
