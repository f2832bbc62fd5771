"""Finding what cannot be pickled inside a value, and saying so in words that help.

The search follows pickle: into containers, into what an object's ``__reduce_ex__`` gives, into the
closure variables, defaults and globals of functions that travel by value. A part is the culprit if
it does not pickle by itself and every part of it does.
"""

import copyreg
import functools
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from distexec.wire import hints
from distexec.wire.pickling import dump
from distexec.wire.snapshot import global_names, is_importable

#: Parts that are tried before the search gives up and names the whole. A try pickles the part, so
#: that this bounds the time: about 0.1 s for small parts.
MOST_TRIES = 2_000
#: Steps from the root. Nobody reads longer paths.
DEEPEST = 20
#: Items from which on a list is searched by halves.
LONG = 64

_PLAIN = frozenset({int, float, complex, bool, str, bytes, bytearray, range, type(None)})

#: A part of a value: how the path goes on (`_Step` gets the path so far), and the part.
_Step = Callable[[str], str]
_Part = tuple[_Step, Any]


def describe(value: Any, root: str) -> str:
    """Return the path to the smallest part of *value* that does not pickle, and its type.

    For example ``args[0].conn: sqlite3.Connection``, if *root* is ``args[0]``.
    """
    path, culprit = find(value, root)
    return f"{path}: {type_name(culprit)}"


def explain(value: Any, root: str, error: BaseException) -> str:
    """Return the text of the error for *value*, which raised *error* when it was pickled."""
    path, culprit = find(value, root)
    own_error = _pickling_error(culprit)
    error = error if own_error is None else own_error
    text = (
        f"{path}: {type_name(culprit)} cannot be sent to another process ({describe_error(error)})"
    )
    hint = hints.hint_for(culprit)
    return f"{text}. {hint}" if hint else text


def explain_arguments(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], error: BaseException
) -> str:
    """Return the text of the error for a call's arguments, which raised *error* when pickled."""
    if kwargs and _pickles(args):
        return explain(kwargs, "kwargs", error)
    return explain(args, "args", error)


def describe_error(error: BaseException) -> str:
    """Return type and text of *error*."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """Return the text of *error*, whatever its ``__str__`` does."""
    try:
        return str(error)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException:
        return "<unprintable>"


def type_name(value: Any) -> str:
    """Return the qualified name of the value's type, with its module unless it is a builtin."""
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def name_function(function: Callable[..., Any]) -> str:
    """Return what to call *function* in a path."""
    if isinstance(function, types.MethodType):
        return f"method {function.__qualname__}"
    name = getattr(function, "__qualname__", None)
    return f"function {name}" if isinstance(name, str) else "function"


def find(value: Any, root: str) -> tuple[str, Any]:
    """Return path and object of the smallest part of *value* that does not pickle.

    *value* itself does not; if the search ends without a part (a cycle, too large), it is *value*.
    """
    tries = 0
    failing = {id(value)}
    # Keeps what __reduce_ex__ made: an id is only good while its object lives.
    alive = [value]
    queue: deque[tuple[str, Any, int]] = deque([(root, value, 0)])
    while queue:
        path, whole, depth = queue.popleft()
        if hints.is_bound_to_process(whole):
            return path, whole
        is_smallest = True
        for step, part in _parts(whole):
            if type(part) in _PLAIN:
                continue
            if id(part) not in failing:
                tries += 1
                if tries > MOST_TRIES:
                    return root, value
                if _pickles(part):
                    continue
                failing.add(id(part))
                alive.append(part)
                if depth < DEEPEST:
                    queue.append((step(path), part, depth + 1))
            is_smallest = False
        if is_smallest:
            return path, whole
    return root, value


def _pickles(value: Any) -> bool:
    return _pickling_error(value) is None


def _pickling_error(value: Any) -> BaseException | None:
    try:
        dump(value, [])
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:
        return error
    return None


def _parts(value: Any) -> Iterator[_Part]:
    """Yield what pickling *value* pickles."""
    kind = type(value)
    if kind in _PLAIN:
        return
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        for name, part in zip(kind._fields, value, strict=False):
            yield _attribute(name), part
    elif kind is list or kind is tuple:
        indices = range(len(value)) if len(value) < LONG else [_first_failing(value)]
        for index in indices:
            yield _item(index), value[index]
    elif kind is dict:
        yield from _dict_parts(value.items())
    elif kind is set or kind is frozenset:
        for part in value:
            yield _suffix(" has the element"), part
    elif kind is types.FunctionType:
        if not is_importable(value):
            yield from _function_parts(value)
    elif kind is types.MethodType:
        name = value.__func__.__qualname__
        yield (
            lambda path: f"self of {path}" if path.startswith("method ") else f"{path}.__self__",
            value.__self__,
        )
        yield _suffix(f"'s function {name}"), value.__func__
    elif kind is functools.partial:
        yield _attribute("func"), value.func
        yield _attribute("args"), value.args
        yield _attribute("keywords"), value.keywords
    elif isinstance(value, type):
        if not is_importable(value):
            for name, part in vars(value).items():
                if name not in ("__dict__", "__weakref__", "__doc__", "__module__"):
                    yield _attribute(name), getattr(part, "__func__", part)
    else:
        yield from _object_parts(value)


def _first_failing(values: Sequence[Any]) -> int:
    """Find an item that does not pickle, by halves: at the cost of pickling the list twice."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _pickles(values[low:middle]) else (low, middle)
    return low


def _function_parts(function: types.FunctionType) -> Iterator[_Part]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield _suffix(f"'s closure variable {name}"), cell.cell_contents
        except ValueError:  # Not assigned yet.
            continue
    for name in sorted(global_names(code)):
        if name in function.__globals__:
            yield _suffix(f"'s global variable {name}"), function.__globals__[name]
    defaults = function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount][-len(defaults) :] if defaults else ()
    for name, part in (
        *zip(names, defaults, strict=False),
        *(function.__kwdefaults__ or {}).items(),
    ):
        yield _suffix(f"'s default of {name}"), part
    for name, part in function.__dict__.items():
        yield _attribute(name), part


def _object_parts(value: Any) -> Iterator[_Part]:
    """Yield what the object gives to pickle, by the names of its attributes where it can."""
    try:
        reducer = copyreg.dispatch_table.get(type(value))
        reduced = reducer(value) if reducer else value.__reduce_ex__(5)
        if not isinstance(reduced, tuple):  # The name of a global.
            return
        _, arguments, state, items, pairs, *_ = (*reduced, None, None, None, None)
        attributes = dict(getattr(value, "__dict__", ()))
        names = {id(part): name for name, part in attributes.items()}
        for index, part in enumerate(arguments):
            if isinstance(value, BaseException):
                yield _suffix(f".args[{index}]"), part
            elif part is type(value):
                yield (lambda path: f"class of {path}"), part
            elif id(part) in names:
                yield _attribute(names[id(part)]), part
            else:
                yield _suffix(f".__reduce__()[1][{index}]"), part
        for states in state if isinstance(state, tuple) else (state,):
            if isinstance(states, dict):
                for name, part in states.items():
                    yield _attribute(name) if isinstance(name, str) else _item(name), part
            elif states is not None:
                yield _suffix("'s state"), states
        for index, part in enumerate(items or ()):
            yield _item(index), part
        yield from _dict_parts(pairs or ())
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException:
        # It is no use to look inside: giving its parts away is what it refuses.
        return


def _dict_parts(pairs: Any) -> Iterator[_Part]:
    for key, part in pairs:
        yield _suffix(" has the key"), key
        yield _item(key), part


def _attribute(name: str) -> _Step:
    return lambda path: f"{path}.{name}"


def _suffix(text: str) -> _Step:
    return lambda path: path + text


def _item(key: Any) -> _Step:
    return lambda path: f"{path}[{_short(key)}]"


def _short(key: Any) -> str:
    try:
        text = repr(key)
    except Exception:
        text = f"<{type(key).__name__}>"
    return text if len(text) <= 40 else f"{text[:37]}..."
