"""Rows 37 to 42 and 68: what calls do to the process that runs them, and to each other."""

import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

import distexec
from conftest import eventually
from properties import calls, scripts
from properties.worlds import EMBEDDED, OURS, Pools, World, on

from . import crashes


@pytest.mark.parametrize(
    "harm",
    [
        crashes.close_descriptors,
        crashes.change_surroundings,
        crashes.ignore_signals,
        crashes.close_streams,
        crashes.replace_builtins,
    ],
    ids=lambda harm: harm.__name__,
)
@on("embedded")
def test_next_call_is_unharmed(world: World, harm: Callable[[int], None]) -> None:
    """A call may leave anything behind; what comes after it runs, here or in another process."""
    with world.make(1) as executor:
        executor.submit(calls.nothing).result(timeout=20)

        harmed = executor.submit(harm, os.getpid())
        after = [executor.submit(calls.square, n) for n in range(5)]

        # Its own outcome may be the loss of its worker: it asked for it.
        harmed.exception(timeout=30)
        assert [future.result(timeout=30) for future in after] == [n * n for n in range(5)]


@on("embedded")
def test_much_output_blocks_nobody(world: World, tmp_path: Path) -> None:
    """More than a pipe holds, and bytes that are no text: output is nobody's protocol."""
    body = """
from bad_inputs import crashes
with make(2) as executor:
    futures = [executor.submit(crashes.print_much, 5000)]
    futures += [executor.submit(crashes.write_invalid, 10**6)]
    print([future.result(timeout=25) for future in futures] == [5000, 10**6])
"""
    code, output, errors = scripts.run(world.name, body, tmp_path)

    assert (code, errors) == (0, "")
    assert output.count("x" * 80) == 5000 and "True\n" in output


@on("embedded")
def test_what_calls_leave_running_ends_with_the_cluster(world: World, tmp_path: Path) -> None:
    """Threads and processes that a library started and forgot do not outlive the program."""
    body = """
from bad_inputs import crashes
with make(1) as executor:
    print(executor.submit(crashes.start_others, os.getpid(), "started").result(timeout=20))
"""
    with scripts.Program(world.name, body, tmp_path) as program:
        code, output, errors = program.finish()

        assert (code, errors) == (0, "") and "started" in output
        eventually(lambda: program.survivors() == [], timeout=8)


@pytest.mark.parametrize("fork", [crashes.fork_and_return, crashes.fork_and_raise])
@on("embedded")
def test_call_that_forks_answers_once(
    world: World, pool: Pools, fork: Callable[[int], int]
) -> None:
    """The forked process returns into our loop with our connections: it must not answer."""
    executor = pool(world, 1)

    first = executor.submit(fork, os.getpid()).result(timeout=20)
    after = [executor.submit(calls.square, n) for n in range(20)]

    assert first > 0
    assert [future.result(timeout=20) for future in after] == [n * n for n in range(20)]


@on("embedded", "embedded-processes")
def test_nested_calls_end_with_one_slot(world: World, pool: Pools) -> None:
    """A call that submits and waits would wait for its own slot: the sub-call runs there then."""
    executor = pool(world, 1)

    assert executor.submit(crashes.nested, 3, None).result(timeout=28) == 3
    assert executor.submit(crashes.nested_map, 20, None).result(timeout=28) == [
        n * n for n in range(20)
    ]


@on("twin")
def test_nested_calls_end_on_the_twin(world: World, pool: Pools) -> None:
    """The same on threads, where a pool of one is a deadlock in the standard library."""
    executor = pool(world, 1)

    assert executor.submit(crashes.nested, 3, "threads").result(timeout=28) == 3


@on(*OURS)
def test_executors_with_functions_of_one_name_do_not_mix(world: World) -> None:
    """Two notebooks, two plug-ins: what is called the same need not be the same."""
    with world.make(1) as first, world.make(1) as second:
        functions = []
        for factor in (2, 3):
            namespace: dict[str, Callable[[int], int]] = {"__name__": "__main__"}  # type: ignore[dict-item]
            exec(f"def scale(n): return {factor} * n", namespace)
            functions.append(namespace["scale"])
        futures = [
            (executor.submit(function, n), factor * n)
            for n in range(10)
            for executor, function, factor in (
                (first, functions[0], 2),
                (second, functions[1], 3),
            )
        ]

        assert all(future.result(timeout=20) == expected for future, expected in futures)


@on(*EMBEDDED)
def test_broken_initializer_breaks_its_executor_only(world: World, pool: Pools) -> None:
    """As the standard says: BrokenExecutor for what waits and for every later submit."""
    kinds = {
        "embedded": distexec.DistributedExecutor,
        "embedded-threads": distexec.ThreadPoolExecutor,
        "embedded-processes": distexec.ProcessPoolExecutor,
    }
    with kinds[world.name](
        1, initializer=calls.throw, initargs=(ValueError("no licence"),)
    ) as broken:
        futures = [broken.submit(calls.nothing) for _ in range(3)]

        for future in futures:
            assert isinstance(future.exception(timeout=20), BrokenExecutor)
        with pytest.raises(BrokenExecutor):
            broken.submit(calls.nothing)
    assert pool(world, 1).submit(calls.square, 3).result(timeout=20) == 9
