"""What our executors offer beside the standard library's interface, on the embedded cluster."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import distexec
from conftest import eventually


@pytest.fixture(scope="module")
def executor() -> Iterator[distexec.DistributedExecutor]:
    """One executor for all tests that do no harm to it."""
    with distexec.DistributedExecutor(2) as executor:
        yield executor


def speak(number: int) -> None:
    """Log on three levels, with an exception on the highest."""
    logger = logging.getLogger("speaker")
    logger.debug("debug %d", number)
    logger.info("info %d", number)
    try:
        raise ValueError("reason")
    except ValueError:
        logger.exception("error %d", number)


async def double(number: int) -> int:
    """Coroutine functions run on an event loop in the worker."""
    return 2 * number


def describe_call() -> tuple[str, int] | None:
    """The running call's id and attempt."""
    call = distexec.current_call()
    return call and (call.id, call.attempt)


def meet(folder: Path, number: int) -> int:
    """Wait for the others, and return the process."""
    (folder / str(number)).touch()
    eventually(lambda: len(list(folder.iterdir())) == 3, timeout=30)
    return os.getpid()


def test_log_records_reach_the_callers_handlers(
    executor: distexec.DistributedExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that configured logging sees its calls' records, as it did on threads."""
    with caplog.at_level(logging.INFO), distexec.DistributedExecutor(1) as logged:
        logged.submit(speak, 7).result(timeout=30)
        eventually(lambda: len([r for r in caplog.records if r.name == "speaker"]) == 2)

    info, error = (record for record in caplog.records if record.name == "speaker")
    assert (info.levelname, info.getMessage(), info.funcName) == ("INFO", "info 7", "speak")
    assert info.process != os.getpid()
    assert error.exc_text is not None and "ValueError: reason" in error.exc_text


def test_what_calls_print_is_out_before_their_results(tmp_path: Path) -> None:
    """Output through a pipe is buffered; a result may not overtake what its call printed."""
    script = tmp_path / "printing.py"
    script.write_text(
        "import distexec, sys\n"
        "def say(n):\n"
        "    print('call', n)\n"
        "    print('warning', n, file=sys.stderr)\n"
        "with distexec.DistributedExecutor(1) as executor:\n"
        "    for n in range(3):\n"
        "        executor.submit(say, n).result()\n"
        "        print('caller', n, flush=True)\n"
    )

    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout.split("\n") == [
        *(line for n in range(3) for line in (f"call {n}", f"caller {n}")),
        "",
    ]
    assert done.stderr == "".join(f"warning {n}\n" for n in range(3))
    assert done.returncode == 0


@pytest.mark.parametrize("how", [["-c", "{code}"], ["-"], ["-i"]])
def test_programs_without_a_file_work(how: list[str]) -> None:
    """One-liners, pipes and the interactive interpreter have a ``__main__`` nobody can import."""
    code = (
        "import distexec\n"
        "def cube(n): return n ** 3\n"
        "\n"
        "executor = distexec.DistributedExecutor(1)\n"
        "print(list(executor.map(cube, range(4))))\n"
        "executor.shutdown()\n"
    )

    done = subprocess.run(
        [sys.executable, *(part.format(code=code) for part in how)],
        input=code if "-c" not in how else "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "[0, 1, 8, 27]" in done.stdout
    assert "Traceback" not in done.stderr


def test_coroutine_functions_are_run(executor: distexec.DistributedExecutor) -> None:
    """``submit(async_function)`` gives what it returns, not a coroutine nobody awaits."""
    assert executor.submit(double, 21).result(timeout=30) == 42


def test_a_call_knows_its_id_and_attempt(executor: distexec.DistributedExecutor) -> None:
    """The id is the same in each attempt and unique: what an idempotent call needs."""
    first, second = (executor.submit(describe_call).result(timeout=30) for _ in range(2))

    assert first is not None and second is not None
    assert first[0] != second[0]
    assert (first[1], second[1]) == (1, 1)
    assert distexec.current_call() is None


@pytest.mark.parametrize("end", ["terminate_workers", "kill_workers"])
def test_workers_end_at_the_programs_word(end: str) -> None:
    """As in Python 3.14: pending calls fail, no call is taken, and the processes are gone."""
    executor = distexec.ProcessPoolExecutor(2)
    pids = {executor.submit(os.getpid).result(timeout=30)}
    futures = [executor.submit(time.sleep, 60) for _ in range(4)]
    eventually(futures[0].running)

    getattr(executor, end)()

    for future in futures:
        assert isinstance(future.exception(timeout=10), distexec.BrokenExecutor)
    with pytest.raises(RuntimeError):
        executor.submit(time.sleep, 0)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    # The cluster goes on for others.
    with distexec.DistributedExecutor(1) as other:
        assert other.submit(pow, 2, 3).result(timeout=30) == 8


def test_processes_are_replaced_after_so_many_calls() -> None:
    """``max_tasks_per_child`` bounds what a leaking library can take."""
    with distexec.ProcessPoolExecutor(1, max_tasks_per_child=2) as executor:
        pids = [executor.submit(os.getpid).result(timeout=30) for _ in range(5)]

    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


def test_threads_false_keeps_a_process_for_each_waiting_call(tmp_path: Path) -> None:
    """Some libraries may not run twice in one process, even when they only wait."""
    with distexec.DistributedExecutor(3, threads=False) as executor:
        found = set(executor.map(meet, [tmp_path] * 3, range(3)))

    assert len(found) == 3


def test_views_share_the_executor_and_keep_signatures(
    executor: distexec.DistributedExecutor,
) -> None:
    """Options never mix with the call's own keyword arguments."""
    view = executor.options(name="thirds").options(queue="distexec")

    assert view.submit(dict, queue="q", name="n").result(timeout=30) == {"queue": "q", "name": "n"}
    assert list(view.map(divmod, [7, 9], [3, 3], timeout=30)) == [(2, 1), (3, 0)]
    assert view.statistics().done >= 3
    with pytest.raises(TypeError, match="Did you mean 'queue'"):
        executor.options(quue="typo")
    with pytest.raises(TypeError, match="make another executor"):
        executor.options(max_workers=3)
    with pytest.raises(ValueError, match="queue name"):
        executor.options(queue="no spaces")


def test_statistics_and_repr_are_instruments(executor: distexec.DistributedExecutor) -> None:
    """What a person asks first: how much is done, how much waits, how long it takes."""
    before = executor.statistics()
    list(executor.map(time.sleep, [0.01] * 10))
    failing = executor.submit(int, "x")
    assert isinstance(failing.exception(timeout=30), ValueError)

    after = executor.statistics()

    assert (after.done - before.done, after.failed - before.failed) == (10, 1)
    assert (after.waiting, after.sent) == (0, 0)
    assert after.leases >= 1
    assert after.run_p95 is not None and 0.009 < after.run_p95 < 5
    assert repr(executor).startswith("<DistributedExecutor running | 0 waiting | 0 in flight of 2")


def test_modules_that_nodes_lack_are_shipped(tmp_path: Path) -> None:
    """``ship=`` sends a module of the caller by value: nothing to install for an experiment."""
    (tmp_path / "homemade.py").write_text("OFFSET = 5\ndef shifted(n): return n + OFFSET\n")
    script = tmp_path / "program.py"
    script.write_text(
        f"import os, sys; sys.path.append({str(Path(distexec.__file__).parents[1])!r})\n"
        "import distexec\n"
        "with distexec.LocalCluster(1) as cluster:\n"
        "    os.environ['DISTEXEC_URL'] = cluster.url\n"
        f"    sys.path.insert(0, {str(tmp_path)!r})\n"
        "    import homemade\n"
        "    with distexec.DistributedExecutor(1) as executor:\n"
        "        error = executor.submit(homemade.shifted, 1).exception()\n"
        "        print(type(error).__name__, 'ship=' in str(error), 'homemade' in str(error))\n"
        "    with distexec.DistributedExecutor(1, ship=['homemade']) as executor:\n"
        "        print(executor.submit(homemade.shifted, 1).result())\n"
    )

    # Another folder than the module's, and -P: the node must not find it by chance.
    done = subprocess.run(
        [sys.executable, "-P", script],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env={**os.environ, "DISTEXEC_NO_WORKER_WARNING_SECONDS": "50"},
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.split("\n") == ["ModuleMissing True True", "6", ""]


def test_the_cluster_outlives_an_executor_for_the_next() -> None:
    """Programs that make an executor for each step do not pay for a cluster each time."""
    with distexec.DistributedExecutor(1) as first:
        parent = first.submit(os.getppid).result(timeout=30)
    with distexec.DistributedExecutor(1) as second:
        assert second.submit(os.getppid).result(timeout=30) == parent
