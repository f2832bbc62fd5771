"""A function is sent as it is at the moment of submit, and pickled again only if it must be."""

import functools
import gc
import json
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from distexec.errors import NotPicklable
from distexec.wire import values
from distexec.wire.pickling import set_by_value
from distexec.wire.snapshot import take_snapshot
from distexec.wire.values import FunctionPacker, unpack_function

SOURCE = """
import dataclasses, enum, functools, json, logging, re, typing

LIMIT = 3
WORDS = ("a", "b")
PATTERN = re.compile("x")
logger = logging.getLogger("shipped")
numbers = [1, 2, 3]

class Failure(Exception):
    level = 1

@dataclasses.dataclass
class Point:
    x: int = 1
    tags: list = dataclasses.field(default_factory=list)

class Pair(typing.NamedTuple):
    left: int
    right: int = 2

class Mode(enum.Enum):
    FAST = "fast"

class Shape:
    @property
    def area(self): return LIMIT
    @functools.cached_property
    def corners(self): return LIMIT + 1
    @staticmethod
    def make(): return Point()
    @classmethod
    def named(cls): return cls.__name__

UserId = typing.NewType("UserId", int)

@functools.cache
def slow(x: UserId) -> UserId: return UserId(x * LIMIT)

def helper(x): return x * LIMIT
def using_cache(x): return slow(x)
def plain(x): return helper(x), WORDS, PATTERN.match("x") is not None, json.dumps(x), logger.name
def failing(): raise Failure(LIMIT)
def pointing(): return Point(), Pair(1), Mode.FAST, Shape().area, Shape().corners, Shape.make()
def listing(): return numbers
def recursive(n): return n and recursive(n - 1)
def nested(): return [(lambda: LIMIT)() for _ in range(2)]
def defaulting(x, y=(1, "a"), *, z=LIMIT): return x, y, z
def counter():
    count = 0
    def add():
        nonlocal count
        count += 1
        return count
    return add
"""


@pytest.fixture
def program() -> dict[str, Any]:
    """The names of a program that workers cannot import, like those of a user's ``__main__``."""
    module = types.ModuleType("users_program")
    sys.modules[module.__name__] = module
    exec(compile(SOURCE, "users_program.py", "exec"), vars(module))
    # As after a script's end: by name it is not found, so that it goes by value.
    del sys.modules[module.__name__]
    return vars(module)


def pack_there(packer: FunctionPacker, function: Callable[..., Any]) -> Callable[..., Any]:
    return unpack_function(packer.pack(function).payload)


def is_remembered(packer: FunctionPacker, function: Callable[..., Any]) -> bool:
    return packer.pack(function) is packer.pack(function)


@pytest.mark.parametrize("function", [json.dumps, len, int, str.upper, json.JSONEncoder.encode])
def test_importable_functions_go_by_name(function: Callable[..., Any]) -> None:
    """A few bytes, found again on the other side; the same id whoever packs it."""
    packed = FunctionPacker().pack(function)

    assert len(packed.function_id) == 16
    assert len(packed.payload) < 120
    assert unpack_function(packed.payload) is function
    assert FunctionPacker().pack(function) == packed


def test_other_callables_are_values() -> None:
    """Partials, bound methods and instances carry state, which is of the moment of each submit."""
    state: list[int] = [1]
    packer = FunctionPacker()

    for function in (functools.partial(sum, state), state.count):
        before = packer.pack(function)
        state.append(1)
        assert packer.pack(function).payload != before.payload
    assert pack_there(packer, functools.partial(int, base=2))("101") == 5


def test_lambdas_closures_and_nested_functions_go_by_value() -> None:
    """Users of threads submit them without a thought."""
    factor = 3

    def times(x: int) -> int:
        return x * factor

    assert pack_there(FunctionPacker(), times)(5) == 15
    assert pack_there(FunctionPacker(), lambda x: times(x) + 1)(5) == 16


def test_a_closure_is_a_snapshot(program: dict[str, Any]) -> None:
    """Each submit sends what the variable is then; a remembered pickle would send what it was."""
    packer, add = FunctionPacker(), program["counter"]()

    first = packer.pack(add)
    add()
    second = packer.pack(add)

    assert unpack_function(first.payload)() == 1
    assert unpack_function(second.payload)() == 2
    assert first.function_id != second.function_id


@pytest.mark.parametrize(
    "name", ["plain", "using_cache", "failing", "pointing", "recursive", "nested", "defaulting"]
)
def test_an_unchanged_function_is_pickled_once(program: dict[str, Any], name: str) -> None:
    """Pickling by value costs 100 us and more; comparing what it uses costs one."""
    assert is_remembered(FunctionPacker(), program[name])


CHANGES: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "a global": ("plain", lambda names: names.update(LIMIT=4)),
    "a global of a helper": ("plain", lambda names: names.update(helper=lambda x: x)),
    "a helper's code": (
        "plain",
        lambda names: setattr(names["helper"], "__code__", (lambda x: -x).__code__),
    ),
    "a removed global": ("plain", lambda names: names.pop("WORDS")),
    "a new global over a builtin": ("nested", lambda names: names.update(range=lambda n: [1])),
    "a default": ("defaulting", lambda names: setattr(names["defaulting"], "__defaults__", (2,))),
    "a keyword default": (
        "defaulting",
        lambda names: names["defaulting"].__kwdefaults__.update(z=9),
    ),
    "an attribute": ("plain", lambda names: setattr(names["plain"], "mark", 1)),
    "a class attribute": ("failing", lambda names: setattr(names["Failure"], "level", 2)),
    "a new class attribute": ("failing", lambda names: setattr(names["Failure"], "more", 2)),
    "a method": ("pointing", lambda names: setattr(names["Point"], "__repr__", lambda self: "")),
    "a base class": (
        "failing",
        lambda names: setattr(names["Failure"], "__bases__", (ValueError,)),
    ),
    "what a method uses": ("pointing", lambda names: names.update(LIMIT=4)),
    "a redefined class": ("pointing", lambda names: names.update(Point=names["Pair"])),
    "what a cached function uses": ("using_cache", lambda names: names.update(LIMIT=4)),
    "a list": ("listing", lambda names: names["numbers"].append(4)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_is_sent(program: dict[str, Any], change: str) -> None:
    """The newest definition wins: a stale function would be a wrong result without an error."""
    name, apply = CHANGES[change]
    packer, function = FunctionPacker(), program[name]
    before = packer.pack(function)

    apply(program)

    assert packer.pack(function).function_id != before.function_id


def test_what_may_change_unseen_is_pickled_each_time(program: dict[str, Any]) -> None:
    """No comparison would see into a list; so there is no snapshot, and no wrong guess."""
    unseen: list[Callable[..., Any]] = [program["listing"], [].append, functools.partial(int)]
    unseen.append(eval("lambda: here", {"here": object()}))

    assert [take_snapshot(function) for function in unseen] == [None] * len(unseen)


def test_a_redefined_importable_function_goes_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name leads to another object now: by name the worker would call the old one."""
    module = types.ModuleType("importable_module")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec("def work(): return 'first'", vars(module))
    packer, first = FunctionPacker(), module.work
    by_name = packer.pack(first)

    exec("def work(): return 'second'", vars(module))

    assert len(by_name.payload) < 60
    assert pack_there(packer, first)() == "first"
    assert pack_there(packer, module.work)() == "second"


def test_modules_to_ship_go_by_value_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ship=`` may come after the first submit, whose pickle went by name."""
    module = types.ModuleType("shipped_after_the_first_submit")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec("def work(): return [Thing()]\nclass Thing: pass", vars(module))
    packer = FunctionPacker()
    assert len(packer.pack(module.work).payload) < 80

    set_by_value([module])

    payload, thing = packer.pack(module.work).payload, values.pack_result(module.Thing())
    monkeypatch.delitem(sys.modules, module.__name__)
    assert type(unpack_function(payload)()[0]).__name__ == "Thing"
    assert type(values.unpack_result(thing)) is module.Thing
    assert is_remembered(packer, module.work)


def test_functions_are_not_kept_alive() -> None:
    """A thousand lambdas, or one with a large closure, leave when their caller drops them."""
    packer = FunctionPacker()
    functions: list[Callable[..., Any]] = [eval("lambda: 1") for _ in range(1000)]
    for function in functions:
        packer.pack(function)
    last = weakref.ref(functions[-1])

    functions.clear()
    del function

    assert last() is None
    assert not packer._remembered


def test_remembered_functions_are_bounded() -> None:
    """A recursive function is in its own snapshot; programs that make many must not grow."""
    packer = FunctionPacker()
    for _ in range(values.MOST_REMEMBERED + 50):
        names: dict[str, Any] = {}
        exec("def again(n): return n and again(n - 1)", names)
        packer.pack(names["again"])

    assert len(packer._remembered) <= values.MOST_REMEMBERED


@pytest.mark.sources
def test_a_dropped_packer_leaves_at_once() -> None:
    """It belongs to an executor, whose end must not wait for the garbage collector."""
    gc.disable()
    try:
        packer = FunctionPacker()
        packer.pack(json.dumps)
        reference = weakref.ref(packer)
        del packer
        assert reference() is None
    finally:
        gc.enable()


def test_a_function_that_cannot_be_sent_is_named() -> None:
    """The lock is found two functions away, and the error says how it got there."""
    import threading

    lock = threading.Lock()

    def guarded() -> None:
        with lock:
            pass

    def submit() -> None:
        guarded()

    with pytest.raises(
        NotPicklable, match=r"closure variable guarded's closure variable lock: _th"
    ):
        FunctionPacker().pack(submit)
