"""What a call might change for its caller: arguments, captured variables, globals, its object."""

import functools
import itertools
import os
import site
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

from distexec.check.fingerprint import fingerprint

#: Functions that are followed from one that is submitted; beyond that the cost shows.
_MOST_FUNCTIONS = 40

#: Code below these folders keeps state of its own, such as caches, that is nobody's hazard.
_LIBRARIES = tuple(
    folder + os.sep
    for folder in {
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        site.getusersitepackages(),
    }
)


@dataclass(slots=True)
class Watched:
    """A value that the call should not change, and the finding if it does."""

    code: str
    what: str
    value: Any
    before: int | None


def watch(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Watched]:
    """Everything that the call might change for its caller."""
    for code, what, value in _changeable(function, args, kwargs):
        yield Watched(code, what, value, fingerprint(value))


def globals_of(function: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Globals that the function names, or one that it calls, each with its namespace."""
    plain = innermost(function)
    if isinstance(plain, FunctionType):
        owner: Any = type(getattr(function, "__self__", None))
        for name, space in _named(plain.__code__, _Namespace(plain.__globals__), owner):
            if name in space.content:
                yield name, space.content


def innermost(function: Any) -> Any:
    """The plain function inside of partials and bound methods."""
    for _ in range(10):
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)
        if inner is None:
            return function
        function = inner
    return function


def _changeable(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[str, str, Any]]:
    while isinstance(function, partial):
        args, kwargs = function.args + args, {**function.keywords, **kwargs}
        function = function.func
    for index, value in enumerate(args):
        yield "DX106", f"its argument {index}", value
    for name, value in kwargs.items():
        yield "DX106", f"its argument {name!r}", value
    yield from _of_receiver(getattr(function, "__self__", None))
    plain = innermost(function)
    if isinstance(plain, FunctionType) and not is_library(plain.__code__):
        for name, cell in zip(plain.__code__.co_freevars, plain.__closure__ or (), strict=False):
            yield "DX101", f"the captured {name!r}", _View(partial(_content, cell))
        for value in plain.__defaults__ or ():
            if isinstance(value, list | dict | set):
                yield "DX102", f"a default of {plain.__qualname__}()", value
        for name, space in globals_of(function):
            yield "DX102", f"the global {name!r}", _View(partial(space.get, name))
            if isinstance(space[name], type):
                yield "DX105", f"class {name}", _View(partial(_class_data, space[name]))
    yield "DX504", "the environment", os.environ
    yield "DX506", "the current directory", _View(_current_folder)


def _of_receiver(receiver: Any) -> Iterator[tuple[str, str, Any]]:
    if isinstance(receiver, type):
        yield "DX105", f"class {receiver.__qualname__}", _class_data(receiver)
    elif isinstance(receiver, list | dict | set):
        yield "DX101", "the container whose method it is", receiver
    elif hasattr(receiver, "__dict__") and not isinstance(receiver, ModuleType):
        yield "DX104", "its object (self)", receiver
        kind = type(receiver)
        for name, value in _class_data(kind).items():
            yield "DX105", f"{kind.__qualname__}.{name}", value


class _Namespace:
    """A module's globals, hashable by identity, so that what is named in them can be remembered."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Namespace) and self.content is other.content

    def __hash__(self) -> int:
        return id(self.content)


@functools.lru_cache(maxsize=256)
def _named(code: CodeType, space: _Namespace, owner: Any) -> list[tuple[str, _Namespace]]:
    """Names of globals in *code* and in what it calls; other modules' as ``module.name``."""
    found: dict[tuple[str, _Namespace], None] = {}
    pending = [(code, space)]
    seen: set[CodeType] = set()
    while pending and len(seen) < _MOST_FUNCTIONS:
        code, space = pending.pop(0)
        if code in seen or is_library(code):
            continue
        seen.add(code)
        names = dict.fromkeys(itertools.chain.from_iterable(c.co_names for c in _codes(code)))
        for name in names:
            value = space.content.get(name)
            if name in space.content:
                found[name, space] = None
            elif isinstance(value := getattr(owner, name, None), FunctionType):
                pending.append((value.__code__, _Namespace(value.__globals__)))
            if isinstance(value, FunctionType):
                pending.append((value.__code__, _Namespace(value.__globals__)))
            elif isinstance(value, ModuleType) and not _is_library_file(value.__file__):
                inner = _Namespace(vars(value))
                found.update(
                    ((part, inner), None)
                    for part in names
                    if part in inner.content and not isinstance(inner.content[part], ModuleType)
                )
    return list(found)


def is_library(code: CodeType) -> bool:
    """Whether the code is not the user's own."""
    return _is_library_file(code.co_filename)


def _is_library_file(path: str | None) -> bool:
    return path is None or path.startswith(("<frozen", *_LIBRARIES))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


class _View:
    """A variable rather than its value, so that rebinding it shows as well."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]  # what fingerprint looks into
        return {"value": self._read()}


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _current_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _class_data(kind: type) -> dict[str, Any]:
    """Containers and numbers in a class body."""
    return {
        name: value
        for name, value in vars(kind).items()
        if not name.startswith("__") and isinstance(value, list | dict | set | int | str | float)
    }
