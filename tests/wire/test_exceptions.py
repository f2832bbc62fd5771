"""An exception in the caller is the one that the call raised, as far as that is possible."""

import asyncio
import collections
import concurrent.futures
import json
import subprocess
import sys
import threading
import traceback
import types
import urllib.error
from collections.abc import Callable
from concurrent.futures.process import _RemoteTraceback
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec import errors
from distexec.wire import exceptions, frames
from distexec.wire.exceptions import pack_exception, unpack_exception
from distexec.wire.pickling import dump


def there_and_back(error: BaseException) -> BaseException:
    return unpack_exception(pack_exception(error))


def raised_by(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


class TwoArguments(Exception):
    """The most common mistake: pickle calls it with one."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class RequiredKeyword(OSError):
    def __init__(self, *, path: str) -> None:
        super().__init__(2, "is missing", path)
        self.path = path


class RequiredNew(Exception):
    def __new__(cls, first: int, second: int) -> "RequiredNew":
        return super().__new__(cls, first)


class Slotted(ValueError):
    __slots__ = ("position",)


class OwnReduce(Exception):
    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port}")
        self.host, self.port, self.rebuilt = host, port, False

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_own, (self.host, self.port)


def _rebuild_own(host: str, port: int) -> OwnReduce:
    error = OwnReduce(host, port)
    error.rebuilt = True
    return error


class BrokenReduce(TwoArguments):
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("not today")


class LyingReduce(TwoArguments):
    def __reduce__(self) -> tuple[Any, ...]:
        return dict, ()


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Falsy(Exception):
    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    __hash__ = None  # type: ignore[assignment]  # on purpose


class OwnGroup(ExceptionGroup[Exception]):
    def __new__(cls, errors: list[Exception], code: int) -> "OwnGroup":
        group = super().__new__(cls, f"group {code}", errors)
        group.code = code  # type: ignore[attr-defined]
        return group


plain = st.none() | st.integers() | st.text() | st.binary() | st.tuples(st.integers(), st.text())


@given(
    st.sampled_from([ValueError, KeyError, RuntimeError, BaseException, StopIteration, SystemExit]),
    st.lists(plain, max_size=4),
    st.dictionaries(st.from_regex("[a-z]{1,8}", fullmatch=True), plain, max_size=3),
    st.lists(st.text(), max_size=3),
)
def test_type_arguments_attributes_and_notes_survive(
    kind: type[BaseException], args: list[Any], attributes: dict[str, Any], notes: list[str]
) -> None:
    """Programs look into all of these to decide what to do next."""
    error = kind(*args)
    vars(error).update(attributes)
    for note in notes:
        error.add_note(note)

    result = there_and_back(error)

    assert type(result) is kind
    assert result.args == error.args
    assert vars(result) == vars(error)
    assert str(result) == str(error)


def _undefined() -> None:
    undefined_name  # type: ignore[name-defined]  # noqa: B018, F821


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"\xff".decode(),
        lambda: "\ud800".encode(),
        lambda: open("/no/such/file"),  # noqa: SIM115
        lambda: open("/no/such/file", "w"),  # noqa: SIM115
        lambda: __import__("no_such_module"),
        lambda: compile("a b", "<text>", "exec"),
        lambda: None.attribute,  # type: ignore[attr-defined]
        lambda: next(iter(())),
        lambda: sys.exit(3),
        lambda: {}["key"],
        lambda: json.loads("{"),
        lambda: 1 / 0,
        _undefined,
    ],
)
def test_builtin_exceptions_keep_what_they_hold_in_c(make: Callable[[], object]) -> None:
    """``errno``, ``filename``, ``name``, ``code``: attributes that no ``__dict__`` has."""
    error = raised_by(make)

    result = there_and_back(error)

    assert type(result) is type(error)
    assert (str(result), repr(result), result.args) == (str(error), repr(error), error.args)
    names = "errno strerror filename name path code value start end reason object msg lineno text"
    for name in set(names.split()) & set(dir(error)):
        assert getattr(result, name) == getattr(error, name), name


@pytest.mark.parametrize(
    "error",
    [
        TwoArguments(5, "five"),
        RequiredKeyword(path="/tmp/x"),
        BrokenReduce(5, "five"),
        LyingReduce(5, "five"),
        OwnReduce("host", 80),
        subprocess.CalledProcessError(3, ["ls"], b"out", b"err"),
        asyncio.IncompleteReadError(b"part", 10),
        errors.RemoteError("a.B", "text", "traceback"),
        errors.ModuleMissing("module", "node"),
        errors.WorkerLost("call", ("one", "two")),
        concurrent.futures.BrokenExecutor("broken"),
        RequiredNew(1, 2),
    ],
    ids=lambda error: type(error).__name__,
)
def test_unhelpful_constructors_are_not_called(error: BaseException) -> None:
    """Pickle would raise TypeError in the caller, instead of what the call raised."""
    result = there_and_back(error)

    assert type(result) is type(error)
    assert (str(result), result.args) == (str(error), error.args)
    assert {**vars(result), "rebuilt": 0} == {**vars(error), "rebuilt": 0}


def test_a_class_that_knows_how_to_be_pickled_is_heard() -> None:
    """Its ``__reduce__`` may restore what nobody else knows of."""
    assert there_and_back(OwnReduce("host", 80)).rebuilt is True  # type: ignore[attr-defined]


def test_slots_survive() -> None:
    """They are attributes like the others."""
    error = Slotted("x")
    error.position = 7

    assert there_and_back(error).position == 7  # type: ignore[attr-defined]


def test_an_http_error_survives() -> None:
    """Its file does not, and its other attributes look into that file when they are missing."""
    error = urllib.error.HTTPError("http://x", 404, "Not Found", {}, None)  # type: ignore[arg-type]

    result = there_and_back(error)

    assert isinstance(result, urllib.error.HTTPError)
    assert (result.code, str(result)) == (404, "HTTP Error 404: Not Found")
    error.close()


def test_what_cannot_be_sent_is_left_out_and_noted() -> None:
    """A lock in an attribute must not cost the user the exception's class."""
    error = TwoArguments(5, "five")
    error.lock, error.kept = threading.Lock(), [1]  # type: ignore[attr-defined]
    error.args = ("text", threading.Lock())

    result = there_and_back(error)

    assert type(result) is TwoArguments
    assert result.args[0] == "text" and "lock" in result.args[1]
    assert result.kept == [1] and not hasattr(result, "lock")
    assert result.__notes__ == [
        "distexec left out args[1], which cannot be sent",
        "distexec left out lock, which cannot be sent",
    ]


def test_a_class_that_cannot_be_sent_becomes_a_remote_error() -> None:
    """The text still says what happened, and where."""
    lock = threading.Lock()

    class Local(Exception):
        guard = lock

    def call() -> None:
        raise Local("what happened")

    result = there_and_back(raised_by(call))

    assert isinstance(result, errors.RemoteError)
    assert result.type_name.endswith("Local") and result.text == "what happened"
    assert "in call" in result.traceback_text
    assert traceback.extract_tb(result.__traceback__)[-1].name == "call"


def test_a_class_missing_in_the_caller_becomes_a_remote_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nodes have libraries that callers lack: the error is told by its name."""
    module = types.ModuleType("only_on_nodes")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec("class DriverError(Exception): pass", vars(module))
    payload = pack_exception(module.DriverError("no route"))
    monkeypatch.delitem(sys.modules, module.__name__)

    result = unpack_exception(payload)

    assert str(result) == "only_on_nodes.DriverError: no route"


def test_pieces_that_fail_to_unpickle_cost_only_themselves() -> None:
    """The class is known here; what one of its attributes needs is not."""

    class Explosive:
        def __reduce__(self) -> tuple[Any, ...]:
            return sys.exit, (3,)

    in_attributes, in_args = TwoArguments(5, "five"), ValueError("text", Explosive())
    in_attributes.detail = Explosive()  # type: ignore[attr-defined]

    for error in (in_attributes, in_args):
        result = there_and_back(error)
        assert type(result) is type(error)
        assert any("SystemExit" in note for note in result.__notes__)


def test_unprintable_exceptions_arrive() -> None:
    """Formatting them runs their code; it must not replace the error that the user needs."""
    result = there_and_back(Unprintable("x"))
    assert type(result) is Unprintable and result.args == ("x",)

    lock = threading.Lock()
    local = types.new_class("Local", (Unprintable,), {}, lambda names: names.update(guard=lock))
    assert there_and_back(local()).text == "<unprintable>"  # type: ignore[attr-defined]


def test_odd_truth_and_equality_do_not_matter() -> None:
    """An exception that is false, or cannot be compared, is an exception."""
    error = Falsy("x")
    error.__cause__ = Falsy("cause")

    result = there_and_back(error)

    assert type(result) is Falsy
    assert type(result.__cause__.__cause__) is Falsy  # type: ignore[union-attr]


def test_the_cause_is_the_standard_pools_remote_traceback() -> None:
    """Programs and CPython's tests look for it; the user's own cause stands behind it."""

    def call() -> None:
        try:
            raise KeyError("context")
        except KeyError:
            raise ValueError("it") from LookupError("cause")

    result = there_and_back(raised_by(call))

    assert type(result.__cause__) is _RemoteTraceback
    assert 'raise ValueError("it") from LookupError("cause")' in str(result.__cause__)
    assert repr(result.__cause__.__cause__) == "LookupError('cause')"
    assert repr(result.__context__) == "KeyError('context')"
    assert result.__suppress_context__ is True


@pytest.mark.parametrize("suppress", [True, False])
def test_context_stays_hidden_or_shown(suppress: bool) -> None:
    """``raise ... from None`` hides it on purpose."""
    error = ValueError("it")
    error.__context__, error.__suppress_context__ = KeyError("context"), suppress

    result = there_and_back(error)

    assert repr(result.__context__) == "KeyError('context')"
    assert result.__suppress_context__ is suppress
    assert result.__cause__.__cause__ is None  # type: ignore[union-attr]


def test_remote_frames_are_real() -> None:
    """Debuggers, pytest and error trackers read frames, not text; each exception has its own."""

    def inner() -> None:
        raise TwoArguments(1, "inner")

    def outer() -> None:
        try:
            inner()
        except TwoArguments as error:
            raise ValueError("outer") from error

    result = there_and_back(raised_by(outer))

    names = [frame.name for frame in traceback.extract_tb(result.__traceback__)]
    assert names == ["raised_by", "outer"]
    behind = result.__cause__.__cause__  # type: ignore[union-attr]
    last = traceback.extract_tb(behind.__traceback__)[-1]  # type: ignore[union-attr]
    assert (last.name, last.line) == ("inner", 'raise TwoArguments(1, "inner")')
    assert last.filename == __file__


def test_groups_keep_their_members() -> None:
    """``except*`` must find each of them, in groups of groups and in groups of one's own making."""
    members = [ValueError(1), TwoArguments(2, "two"), ExceptionGroup("inner", [KeyError("k")])]
    own = OwnGroup(members, 7)
    own.exceptions[0].__cause__ = own

    result = there_and_back(own)

    assert type(result) is OwnGroup and result.code == 7  # type: ignore[attr-defined]
    assert repr(result.exceptions) == repr(own.exceptions)
    assert result.exceptions[0].__cause__ is result
    assert there_and_back(members[0]).__cause__.__cause__.exceptions[1].code == 2  # type: ignore[union-attr]
    base = there_and_back(BaseExceptionGroup("base", [SystemExit(3)]))
    assert type(base) is BaseExceptionGroup and base.exceptions[0].code == 3  # type: ignore[attr-defined]


def test_cycles_end() -> None:
    """A context that leads back is easy to make, and printing it loops in some tools."""
    first, second = ValueError("first"), KeyError("second")
    first.__context__, second.__cause__ = second, first

    result = there_and_back(first)

    assert result.__context__.__cause__ is result  # type: ignore[union-attr]


def test_long_chains_and_deep_stacks_are_bounded() -> None:
    """A retry loop or a runaway recursion must not make a payload of megabytes."""
    newest = ValueError(0)
    link: BaseException = newest
    for number in range(1, exceptions.MOST_EXCEPTIONS * 2):
        link.__context__ = ValueError(number)
        link = link.__context__

    def ping() -> None:
        pong()

    def pong() -> None:
        ping()

    chain, deep = pack_exception(newest), pack_exception(raised_by(ping))

    assert len(chain) < 500_000 and len(deep) < 200_000
    assert unpack_exception(chain).args == (0,)
    result = unpack_exception(deep)
    assert type(result) is RecursionError
    assert len(traceback.extract_tb(result.__traceback__)) <= (
        frames.OUTER_FRAMES + frames.INNER_FRAMES
    )


def test_a_second_trip_keeps_everything() -> None:
    """A call that calls others raises what they raised: both remote tracebacks are in the chain."""
    once = raised_by(lambda: exec("raise ValueError('it') from KeyError('cause')"))

    twice = there_and_back(there_and_back(once))

    chain = collections.deque([twice])
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    assert [type(each) for each in chain] == [
        ValueError,
        _RemoteTraceback,
        _RemoteTraceback,
        KeyError,
    ]


def test_nothing_is_installed_globally() -> None:
    """tblib can change how all of a program's exceptions are pickled; ours must not."""
    import copyreg

    before = dict(copyreg.dispatch_table)

    there_and_back(raised_by(lambda: 1 / 0))

    assert copyreg.dispatch_table == before


@given(st.one_of(plain, st.lists(plain), st.lists(st.tuples(plain, plain))))
def test_a_payload_of_another_kind_is_a_remote_error(value: Any) -> None:
    """The collector's thread unpacks it: whatever was signed by a broken peer, it survives."""
    assert isinstance(unpack_exception(dump(value)), errors.RemoteError)
