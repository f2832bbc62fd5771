"""The error for what cannot be sent names the path to it, and what to do instead."""

import asyncio
import collections
import contextvars
import dataclasses
import functools
import queue
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from distexec.errors import NotPicklable
from distexec.wire.culprit import DEEPEST, describe, find
from distexec.wire.values import FunctionPacker, pack_arguments, pack_result

LOCK = threading.Lock()
LOCK_TYPE = "_thread.lock"


class Holder:
    """Has what it is given, as attributes."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def method(self) -> None: ...


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Careful:
    """Knows that its lock cannot be pickled, and has something else that cannot."""

    def __init__(self) -> None:
        self.lock, self.conn = LOCK, iter_forever()

    def __getstate__(self) -> dict[str, Any]:
        return {"conn": self.conn}


@dataclasses.dataclass
class Record:
    name: str
    value: Any


Pair = collections.namedtuple("Pair", "left right")


class ListOfThings(list):  # type: ignore[type-arg]
    pass


def iter_forever() -> Any:
    while True:
        yield 1


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (LOCK, ""),
        ([1, [2, LOCK]], "[1][1]"),
        ({"db": {"pool": [0, 0, LOCK]}}, "['db']['pool'][2]"),
        ({LOCK}, " has the element"),
        ({LOCK: 1}, " has the key"),
        (Holder(a=1, b=Holder(conn=LOCK)), ".b.conn"),
        (Slotted(Slotted(LOCK)), ".inner.inner"),
        (Record("x", [LOCK]), ".value[0]"),
        (Pair(1, Pair(2, LOCK)), ".right.right"),
        (ListOfThings([1, LOCK]), "[1]"),
        (collections.deque([1, LOCK]), "[1]"),
        (collections.OrderedDict(x=LOCK), "['x']"),
        (collections.defaultdict(list, x=LOCK), "['x']"),
        (functools.partial(print, 1, LOCK), ".args[1]"),
        (functools.partial(print, file=LOCK), ".keywords['file']"),
        (ValueError("x", LOCK), ".args[1]"),
        (Holder(lock=LOCK).method, ".__self__.lock"),
    ],
    # An address in a name would differ between processes that run parts of these tests.
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_path_leads_to_the_culprit(value: Any, path: str) -> None:
    """Through every kind of container that pickle goes through."""
    assert describe(value, "args[0]") == f"args[0]{path}: {LOCK_TYPE}"


def test_functions_are_searched_where_they_go_by_value() -> None:
    """Closure variables, globals and defaults travel with the function; each is named as such."""
    lock = LOCK

    def closing() -> object:
        return lock

    def defaulting(x: int, guard: Any = LOCK, *, other: Any = None) -> None: ...

    globals_of = eval("lambda: LOCK", {"LOCK": LOCK})

    def outer() -> object:
        return closing()

    root = "function f"
    assert describe(closing, root) == f"function f's closure variable lock: {LOCK_TYPE}"
    assert describe(defaulting, root) == f"function f's default of guard: {LOCK_TYPE}"
    assert describe(globals_of, root) == f"function f's global variable LOCK: {LOCK_TYPE}"
    assert describe(outer, root).startswith("function f's closure variable closing's closure var")


def test_methods_are_searched_through_their_instance() -> None:
    """``submit(self.work)`` sends the whole instance: most users meet this error first."""
    with pytest.raises(NotPicklable, match=r"^self of method Holder\.method\.lock: _thread\.lock"):
        FunctionPacker().pack(Holder(lock=LOCK).method)


def test_classes_are_searched_where_they_go_by_value() -> None:
    """A lock that all instances share is in the class, and the class goes with each of them."""

    class Shared:
        guard = LOCK

    assert describe(Shared(), "result") == f"class of result.guard: {LOCK_TYPE}"


def test_what_an_object_leaves_out_is_not_blamed() -> None:
    """``__getstate__`` took care of the lock; blaming it would send the user the wrong way."""
    assert describe(Careful(), "result") == "result.conn: generator"


def test_cycles_end() -> None:
    """Parents and children that know each other are common, and both fail because of the lock."""
    parent, child = Holder(), Holder()
    parent.child, child.parent, parent.lock = child, parent, LOCK  # type: ignore[attr-defined]

    assert describe(parent, "args[0]") == f"args[0].lock: {LOCK_TYPE}"


def test_the_search_is_bounded() -> None:
    """It runs in submit: a million objects must not cost minutes, nor a deep one the stack."""
    wide = {number: Holder(number=number) for number in range(100_000)} | {-1: LOCK}
    deep: Any = LOCK
    for _ in range(DEEPEST * 3):
        deep = [deep]

    start = time.monotonic()
    assert find(wide, "args[0]") == ("args[0]", wide)
    assert find(deep, "args[0]")[0].startswith("args[0]")
    assert time.monotonic() - start < 10


def test_one_bad_item_of_a_long_list_is_found() -> None:
    """A hundred thousand records and one open connection: exactly then the path is needed."""
    items: list[Any] = [Holder(number=number) for number in range(20_000)]
    items[15_432].conn = LOCK

    assert describe(items, "args[0]") == f"args[0][15432].conn: {LOCK_TYPE}"


def test_arguments_are_told_apart() -> None:
    """Positional or by keyword, the path is what the user wrote at the call."""
    with pytest.raises(NotPicklable, match=r"^args\[1\]: _thread\.lock cannot be sent"):
        pack_arguments((1, LOCK), {"x": 2})
    with pytest.raises(NotPicklable, match=r"^kwargs\['db'\]\.pool\[3\]: _thread\.lock"):
        pack_arguments((1,), {"db": Holder(pool=[0, 0, 0, LOCK])})


def things(name: str) -> Any:
    """Make one thing that belongs to this process."""

    async def coroutine() -> None: ...

    async def asynchronous_generator() -> Any:
        yield 1

    return {
        "lock": threading.Lock,
        "rlock": threading.RLock,
        "condition": threading.Condition,
        "event": threading.Event,
        "semaphore": threading.Semaphore,
        "barrier": lambda: threading.Barrier(2),
        "text file": lambda: open(__file__, encoding="utf-8"),
        "binary file": lambda: open(__file__, "rb"),
        "raw file": lambda: open(__file__, "rb", buffering=0),
        "temporary file": tempfile.NamedTemporaryFile,
        "socket": socket.socket,
        "database": lambda: sqlite3.connect(":memory:"),
        "cursor": lambda: sqlite3.connect(":memory:").cursor(),
        "queue": queue.Queue,
        "simple queue": queue.SimpleQueue,
        "generator": iter_forever,
        "coroutine": coroutine,
        "asynchronous generator": asynchronous_generator,
        "thread": threading.Thread,
        "process": lambda: subprocess.Popen([sys.executable, "-c", ""]),
        "executor": ThreadPoolExecutor,
        "future": Future,
        "event loop": asyncio.new_event_loop,
        "thread-local": threading.local,
        "context": contextvars.copy_context,
        "context variable": lambda: contextvars.ContextVar("x"),
        "weak reference": lambda: weakref.ref(Holder),
        "frame": sys._getframe,
    }[name]()


HINTS = {
    "lock": "Locks hold back",
    "rlock": "Locks hold back",
    "condition": "Locks hold back",
    "event": "Locks hold back",
    "semaphore": "Locks hold back",
    "barrier": "Locks hold back",
    "text file": "Pass the path",
    "binary file": "Pass the path",
    "raw file": "Pass the path",
    "temporary file": "Pass the path",
    "socket": "connect inside the function",
    "database": "connect inside the function",
    "cursor": "connect inside the function",
    "queue": "exists in one process only",
    "simple queue": "exists in one process only",
    "generator": r"pass list\(",
    "coroutine": "Submit the async function",
    "asynchronous generator": r"pass list\(",
    "thread": "pass what they work on",
    "process": "pass what they work on",
    "executor": "open one inside the function",
    "future": r"pass its result\(\)",
    "event loop": "stays in its process",
    "thread-local": "pass the value it has here",
    "context": "pass the value it has here",
    "context variable": "pass the value it has here",
    "weak reference": "pass the object",
    "frame": "running program",
}


@pytest.mark.parametrize("name", HINTS)
def test_what_belongs_to_a_process_is_refused_with_a_hint(name: str) -> None:
    """Threads share these, so programs pass them; each has another way on a cluster."""
    thing = things(name)
    close: Callable[[], Any] = getattr(thing, "wait" if name == "process" else "close", int)
    if name == "executor":
        close = thing.shutdown
    if name == "cursor":
        close = thing.connection.close
    try:
        with pytest.raises(NotPicklable, match=HINTS[name]) as caught:
            pack_result({"thing": thing})
        assert str(caught.value).startswith("result['thing']")
        assert caught.value.__cause__ is not None
    finally:
        close()
