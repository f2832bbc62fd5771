"""Values arrive as they were at the moment of submit, or say at once why they cannot."""

import array
import datetime
import enum
import io
import math
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.errors import CallUnpickleError, NotPicklable, ResultUnpickleError
from distexec.wire.values import (
    pack_arguments,
    pack_result,
    unpack_arguments,
    unpack_function,
    unpack_result,
)

atoms = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.binary() | st.text()
)
plain = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


class Array:
    """Gives its buffer to protocol 5, as numpy's arrays do."""

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Array, (pickle.PickleBuffer(self.buffer),)


class Raising:
    """Misbehaves when it is pickled."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> NoReturn:
        raise self.error


def raise_again(error: BaseException) -> NoReturn:
    raise error


class Trap:
    """Pickles well, and misbehaves when it is unpickled."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[BaseException]]:
        return raise_again, (self.error,)


def there_and_back(value: Any) -> Any:
    return unpack_result(pack_result(value))


@given(st.lists(plain, max_size=3), st.dictionaries(st.text(), plain, max_size=3))
def test_arguments_arrive_as_they_were(args: list[Any], kwargs: dict[str, Any]) -> None:
    """Any plain data, under any keyword, empty strings and odd Unicode included."""
    assert unpack_arguments(pack_arguments(tuple(args), kwargs)) == (tuple(args), kwargs)


@given(plain)
def test_results_arrive_as_they_were(value: Any) -> None:
    """Falsy results too, with their exact types."""
    result = there_and_back(value)

    assert result == value
    assert type(result) is type(value)


def test_numbers_keep_their_oddities() -> None:
    """-0.0 and NaN are values that calculations depend on."""
    assert math.isnan(there_and_back(math.nan))
    assert math.copysign(1.0, there_and_back(-0.0)) == -1.0


def test_sharing_and_recursion_are_kept() -> None:
    """One list given twice is one list there; a list that holds itself does so there."""
    shared: list[Any] = [1]
    loop: list[Any] = [shared]
    loop.append(loop)

    args, kwargs = unpack_arguments(pack_arguments((shared, loop), {"again": shared}))

    assert args[0] is args[1][0] is kwargs["again"]
    assert args[1][1] is args[1]


def test_arguments_are_a_snapshot() -> None:
    """What the caller does after submit is never seen by the call, nor what is in its arrays."""
    names, buffer = ["before"], bytearray(b"before")

    payload = pack_arguments((names, Array(buffer)), {})
    names.append("after")
    buffer[:] = b"after!"

    (names_there, array_there), _ = unpack_arguments(payload)
    assert names_there == ["before"]
    assert bytes(array_there.buffer) == b"before"


def test_buffers_come_back_writable_or_not_as_they_were() -> None:
    """A call may fill an array that its caller could fill, and no other."""
    writable, readonly = Array(bytearray(b"w" * 1000)), Array(b"r" * 1000)

    payload = pack_result([writable, readonly])
    writable_there, readonly_there = unpack_result(memoryview(payload))

    assert writable_there.buffer == writable.buffer
    writable_there.buffer[0] = 0
    view = memoryview(readonly_there.buffer)
    assert view == readonly.buffer and view.readonly
    assert view.obj is payload, "copied for nothing"


def test_a_large_buffer_is_copied_once_on_its_way_out() -> None:
    """The payload holds it once, and the pickle beside it only refers to it."""
    payload = pack_arguments((Array(b"x" * 1_000_000),), {})

    assert len(payload) < 1_000_300


def test_numpy_arrays_arrive() -> None:
    """Shape, type and order; and an array that was given twice is one array."""
    numpy = pytest.importorskip("numpy")
    matrix = numpy.arange(12.0).reshape(3, 4)
    frozen = numpy.asfortranarray(matrix)
    frozen.flags.writeable = False

    first, second, other, every_other = there_and_back([matrix, matrix, frozen, matrix[:, ::2]])

    assert first is second and (first == matrix).all() and first.flags.writeable
    assert (other == matrix).all() and not other.flags.writeable and other.flags.f_contiguous
    assert (every_other == matrix[:, ::2]).all()


def test_text_that_looks_like_a_module_name_is_just_text() -> None:
    """Source code as an argument contains ``__main__``; it takes the slow way and arrives."""
    text = "if __name__ == '__main__': main()"

    assert there_and_back([text, {text: text}]) == [text, {text: text}]


def test_what_plain_pickle_refuses_goes_by_value() -> None:
    """A lambda, a class of the function, a slice of memory: users of threads pass them all."""

    class Local:
        number = 3

    function, instance, view = there_and_back([lambda: 42, Local(), memoryview(b"abc")])

    assert function() == 42
    assert type(instance) is Local, "the class is ours: it must not come back as a copy"
    assert view == b"abc"


def test_values_of_many_types_arrive() -> None:
    """Types that pickle in their own ways, enumerations among them by identity."""
    colour = enum.Enum("colour", "RED GREEN")
    values = [{1, 2}, frozenset("ab"), array.array("d", [1.5]), datetime.date(2026, 11, 22), 1 + 2j]

    assert there_and_back(values) == values
    assert there_and_back(colour.RED) is colour.RED


def test_returned_exceptions_are_values() -> None:
    """Collecting errors in a list is common; nothing raises them."""
    error = there_and_back(ValueError("kept"))

    assert type(error) is ValueError and error.args == ("kept",)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), GeneratorExit()])
def test_an_error_while_pickling_belongs_to_its_call(error: BaseException) -> None:
    """User code runs here, in submit: even SystemExit ends no more than this call."""
    with pytest.raises(NotPicklable, match=r"args\[1\]: .*Raising cannot be sent") as caught:
        pack_arguments((1, Raising(error)), {})
    assert caught.value.__cause__ is error
    with pytest.raises(NotPicklable, match="result: "):
        pack_result(Raising(error))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_interrupts_are_not_swallowed(error: BaseException) -> None:
    """Ctrl-C during submit of something large must reach the user, and so must a full memory."""
    with pytest.raises(type(error)):
        pack_arguments((Raising(error),), {})


def test_nesting_without_end_is_a_recursion_error() -> None:
    """It is what the standard pools give, and says what to change; by value it is the same."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(RecursionError):
        pack_arguments((deep,), {})
    with pytest.raises(RecursionError):
        pack_result([deep, lambda: None])


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), GeneratorExit()])
def test_an_error_while_unpickling_is_told_with_its_cause(error: BaseException) -> None:
    """The standard pools break here; ours fails one call, in the worker or in the caller."""
    with pytest.raises(CallUnpickleError, match=type(error).__name__) as in_worker:
        unpack_arguments(pack_arguments((Trap(error),), {}))
    with pytest.raises(ResultUnpickleError, match=type(error).__name__) as in_caller:
        unpack_result(pack_result(Trap(error)))
    assert type(in_worker.value.__cause__) is type(in_caller.value.__cause__) is type(error)


@given(st.binary(max_size=80))
def test_noise_fails_as_an_unpickling_error(noise: bytes) -> None:
    """A signed frame of a broken peer still fails calls, not threads. (B: a block with buffers.)"""
    # Noise that is a pickle could do anything: only such as cannot be one.
    with pytest.raises(CallUnpickleError):
        unpack_function(b"B" + noise[:8])
    with pytest.raises(ResultUnpickleError):
        unpack_result(b"\x00" + noise)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_standard_streams_mean_the_workers_own(name: str) -> None:
    """A function that prints to ``file=sys.stderr`` prints there; other files are refused."""
    own = io.TextIOWrapper(io.BytesIO())
    previous = getattr(sys, name)
    setattr(sys, name, own)
    try:
        assert there_and_back([own, lambda: None])[0] is own
    finally:
        setattr(sys, name, previous)
    with pytest.raises(NotPicklable, match=r"result\[0\]: _io.TextIOWrapper.*Pass the path"):
        pack_result([own, lambda: None])


def test_packing_is_thread_safe() -> None:
    """Many threads submit at once; by value and by name, they do not disturb each other."""
    failures = []

    def work() -> None:
        for number in range(100):
            if there_and_back([number, lambda number=number: number])[1]() != number:
                failures.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures


def test_importing_the_room_loads_nothing_heavy() -> None:
    """`import distexec` has 30 ms; cloudpickle and tblib wait until something needs them."""
    rooms = ["seal", "codec", "secret", "values", "exceptions"]
    program = (
        f"import sys, {', '.join(f'distexec.wire.{name}' for name in rooms)}; "
        "print({'cloudpickle', 'tblib', 'numpy', 'asyncio', 'dis'} & sys.modules.keys())"
    )

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert printed.stdout.strip() == b"set()", printed.stdout
