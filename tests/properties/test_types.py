"""Property 25: types, copies, reprs, and where functions and workers come from."""

import concurrent.futures as stdlib
import copy
import functools
import inspect
import operator
import pickle
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest

import distexec

from . import calls, scripts
from .worlds import EMBEDDED, EVERY, OURS, Pools, World, on

# Types and names ------------------------------------------------------------------------------


@on(*EVERY)
def test_executors_and_futures_are_those_of_the_standard_library(world: World, pool: Pools) -> None:
    """Libraries check with ``isinstance`` what they are given."""
    executor = pool(world, 2)

    assert isinstance(executor, Executor)
    assert isinstance(executor.submit(calls.nothing), stdlib.Future)


@pytest.mark.parametrize(
    "name",
    [
        "TimeoutError",
        "CancelledError",
        "InvalidStateError",
        "BrokenExecutor",
        "FIRST_COMPLETED",
        "FIRST_EXCEPTION",
        "ALL_COMPLETED",
    ],
)
def test_errors_and_constants_are_the_standard_ones(name: str) -> None:
    """``except concurrent.futures.TimeoutError`` in somebody else's module catches ours."""
    assert getattr(distexec, name) is getattr(stdlib, name)


def test_every_public_name_of_the_standard_library_exists() -> None:
    """``import distexec as futures`` must not end in an AttributeError a week later."""
    missing = [name for name in stdlib.__all__ if not hasattr(distexec, name)]

    assert missing == []
    assert issubclass(distexec.Future, stdlib.Future)


# Signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["submit", "map", "shutdown"])
@pytest.mark.parametrize(
    "ours",
    ["DistributedExecutor", "ThreadPoolExecutor", "ProcessPoolExecutor"],
)
def test_signatures_accept_what_the_standard_ones_accept(ours: str, method: str) -> None:
    """Every parameter of the standard methods is here: of the same kind, optional if there."""
    standard = inspect.signature(getattr(Executor, method))
    signature = inspect.signature(getattr(getattr(distexec, ours), method))

    for name, parameter in standard.parameters.items():
        assert name in signature.parameters
        mine = signature.parameters[name]
        assert mine.kind is parameter.kind
        assert (mine.default is mine.empty) == (parameter.default is parameter.empty)
    extra = set(signature.parameters) - set(standard.parameters)
    assert all(signature.parameters[name].default is not inspect.Parameter.empty for name in extra)
    assert method != "map" or "buffersize" in signature.parameters


@pytest.mark.parametrize(
    ("ours", "standard"),
    [
        (lambda: distexec.ThreadPoolExecutor, stdlib.ThreadPoolExecutor),
        (lambda: distexec.ProcessPoolExecutor, stdlib.ProcessPoolExecutor),
    ],
    ids=["ThreadPoolExecutor", "ProcessPoolExecutor"],
)
def test_constructors_take_the_standard_arguments_by_position(
    ours: Callable[[], type], standard: type
) -> None:
    """``ThreadPoolExecutor(4, "worker-")`` is ordinary code."""
    expected = list(inspect.signature(standard).parameters.values())
    got = list(inspect.signature(ours()).parameters.values())

    names = [p.name for p in expected if p.kind is not inspect.Parameter.VAR_KEYWORD]
    assert [p.name for p in got][: len(names)] == names
    positional = [p.name for p in expected if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert all(
        p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in got if p.name in positional
    )


# Copies and reprs -----------------------------------------------------------------------------


@on(*OURS)
def test_pickling_an_executor_is_refused_with_a_hint(world: World, pool: Pools) -> None:
    """It is what happens when an object with an executor in it is sent to a worker."""
    executor = pool(world, 1)

    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="Executor") as refusal:
            attempt(executor)
        # Longer than "cannot pickle": it says what to do instead.
        assert len(str(refusal.value)) > 40


@on(*OURS)
def test_repr_shows_the_state(world: World) -> None:
    """A panel of instruments in every debugger and log."""
    with world.make(1) as executor:
        executor.submit(calls.nothing).result(timeout=20)
        running = repr(executor)

    assert "Executor" in running
    assert repr(executor) != running and "shut" in repr(executor)


@on(*OURS)
def test_statistics_add_up(world: World) -> None:
    """Done, failed and cancelled are what the program saw."""
    with world.make(2) as executor:
        futures = [executor.submit(calls.square_slowly, n, 0) for n in range(-3, 7)]
        assert all(future.exception(timeout=20) or True for future in futures)
        counts = executor.statistics()  # type: ignore[attr-defined]

    if not isinstance(counts, dict):
        counts = {name: getattr(counts, name) for name in ("done", "failed", "cancelled")}
    assert (counts["done"], counts["failed"], counts["cancelled"]) == (7, 3, 0)


# Functions by value ---------------------------------------------------------------------------


class _Counter:
    """A class of a test module, with a method to call."""

    def __init__(self, start: int) -> None:
        self.start = start

    def add(self, number: int) -> int:
        return self.start + number

    @classmethod
    def name(cls) -> str:
        return cls.__name__

    @staticmethod
    def double(number: int) -> int:
        return 2 * number

    def __call__(self, number: int) -> int:
        return self.start * number


@on(*OURS, "embedded-processes")
def test_everything_that_can_be_called_can_be_submitted(world: World, pool: Pools) -> None:
    """Thread pools never asked where a function came from."""
    executor = pool(world, 2)
    factor = 3

    def nested(number: int) -> int:
        return factor * number

    counter = _Counter(10)
    results = [
        executor.submit(lambda number: number + factor, 4),
        executor.submit(nested, 4),
        executor.submit(functools.partial(calls.add, 1), 4),
        executor.submit(counter.add, 4),
        executor.submit(_Counter.name),
        executor.submit(_Counter.double, 4),
        executor.submit(counter, 4),
        executor.submit(_Counter, 4),
        executor.submit(len, "four"),
        executor.submit(operator.itemgetter(1), [3, 4]),
        executor.submit("-".join, ["a", "b"]),
    ]

    values = [future.result(timeout=20) for future in results]
    assert isinstance(values.pop(7), _Counter)
    assert values == [7, 12, 5, 14, "_Counter", 8, 40, 4, 4, "a-b"]


@on(*OURS, "embedded-processes")
def test_redefined_function_uses_its_newest_definition(world: World, pool: Pools) -> None:
    """In a notebook a function is defined again and again under one name."""
    executor = pool(world, 2)
    results = []
    for version in range(5):
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(f"def evolving():\n    return {version}", namespace)
        futures = [executor.submit(namespace["evolving"]) for _ in range(5)]
        results += [future.result(timeout=20) for future in futures]

    assert results == [version for version in range(5) for _ in range(5)]


@on(*OURS)
def test_closure_is_taken_at_submit(world: World, pool: Pools) -> None:
    """A function's free variables are arguments, too: later changes do not reach the call."""
    executor = pool(world, 1)
    number = 0

    def current() -> int:
        return number

    futures = []
    for number in range(5):  # noqa: B007
        futures.append(executor.submit(current))

    assert [future.result(timeout=20) for future in futures] == list(range(5))


_MAIN = """
LIMIT = 5
class Point:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return isinstance(other, Point) and other.x == self.x
class Failure(Exception): pass
def limited(x): return min(x, LIMIT)
def moved(point): return Point(point.x + 1)
def fail(): raise Failure("mine")
def deep(x): return limited(x) + helper(x)
def helper(x): return 2 * x

executor = make(2)
print(list(executor.map(limited, range(3, 8))))
print(executor.submit(moved, Point(1)).result(timeout=20) == Point(2))
print(type(executor.submit(fail).exception(timeout=20)) is Failure)
print(executor.submit(deep, 9).result(timeout=20))
def limited(x): return "new"
def deep(x): return limited(x)
print(executor.submit(deep, 9).result(timeout=20))
"""


@on("stdlib-threads", *OURS, "embedded-processes")
def test_functions_and_classes_of_main_travel(world: World, tmp_path: Path) -> None:
    """A script has everything in ``__main__``, needs no guard, and gets its own classes back."""
    assert scripts.run(world.name, _MAIN, tmp_path) == (
        0,
        "[3, 4, 5, 5, 5]\nTrue\nTrue\n23\nnew\n",
        "",
    )


# Surroundings ---------------------------------------------------------------------------------


@on(*EMBEDDED)
def test_embedded_workers_have_the_surroundings_of_the_caller(world: World, tmp_path: Path) -> None:
    """Relative paths, the program's own modules and its settings work as they did on threads."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "neighbour.py").write_text("def hello(): return 'from the neighbour'\n")
    body = """
os.chdir(folder + "/own")
sys.path.insert(0, folder + "/own")
os.environ["SET_BY_PROGRAM"] = "yes"
import neighbour
with make(1) as executor:
    where, path, variable = executor.submit(calls.surroundings, "SET_BY_PROGRAM").result()
    print(where == os.getcwd(), [p for p in sys.path if p not in path], variable)
    print(executor.submit(neighbour.hello).result())
"""

    assert scripts.run(world.name, body, tmp_path) == (
        0,
        "True [] yes\nfrom the neighbour\n",
        "",
    )


@on(*EMBEDDED)
def test_output_of_calls_is_the_output_of_the_program(world: World, tmp_path: Path) -> None:
    """What calls print appears where the program prints, before their results; nothing else."""
    body = """
def speak(n):
    print("out", n)
    print("err", n, file=sys.stderr)
with make(1) as executor:
    executor.submit(speak, 1).result()
    print("between", flush=True)
    executor.submit(speak, 2).result()
"""

    assert scripts.run(world.name, body, tmp_path) == (
        0,
        "out 1\nbetween\nout 2\n",
        "err 1\nerr 2\n",
    )
