"""Whether a function is still what it was when it was pickled.

A pickle by reference stays true while its name leads to the same object. A pickle by value holds code,
defaults, closure variables and globals, of the function and of all that it uses; it stays true while
each of these is the same object, and none of them can change inside. Whatever is not known to be so
(a list, an instance, a counter) gives no snapshot, and then the function is pickled at each call.
"""

import logging
import re
import sys
import types
from collections.abc import Callable, Mapping
from itertools import repeat
from operator import is_
from typing import Any

from distexec.wire.pickling import by_value_marks, is_by_value

_MISSING = object()

_GLOBAL_INSTRUCTIONS = frozenset({"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"})

#: Exactly these cannot change inside, or (loggers, modules) are pickled by name whatever is in them.
_UNCHANGING = frozenset(
    {
        int, float, complex, bool, str, bytes, range, type(None), type(Ellipsis), type(NotImplemented),
        re.Pattern, logging.Logger,
    }
)  # fmt: skip


class Snapshot:
    """What went into a pickle, compared by identity. Made by `take_snapshot`."""

    __slots__ = ("_cells", "_functions", "_marks", "_module_count", "_namespaces")

    def __init__(self) -> None:
        self._marks = by_value_marks()
        #: Number of imported modules, where it matters: a function that uses a package is sent with
        #: the submodules that were imported by then.
        self._module_count: int | None = None
        self._functions: list[tuple[types.FunctionType, types.CodeType, Any, Any]] = []
        self._namespaces: list[
            tuple[Mapping[str, Any], int | None, tuple[str, ...], tuple[Any, ...]]
        ] = []
        self._cells: list[tuple[types.CellType, Any]] = []

    def holds(self) -> bool:
        """Whether pickling now would give the same. A long function body, for speed."""
        if self._marks is not by_value_marks():
            return False
        if self._module_count is not None and self._module_count != len(sys.modules):
            return False
        for function, code, defaults, keyword_defaults in self._functions:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not keyword_defaults
            ):
                return False
        for namespace, size, names, values in self._namespaces:
            if size is not None and len(namespace) != size:
                return False
            if not all(map(is_, map(namespace.get, names, repeat(_MISSING)), values)):
                return False
        for cell, value in self._cells:
            try:
                if cell.cell_contents is not value:
                    return False
            except ValueError:  # Empty by now.
                return False
        return True

    def watch_name(self, module_name: str, qualified_name: str, value: object) -> None:
        """Remember that this name leads to *value*, through classes if it has dots."""
        module = sys.modules[module_name]
        self._watch(sys.modules, (module_name,))
        namespace = vars(module)
        *classes, name = qualified_name.split(".")
        for each in classes:
            self._watch(namespace, (each,))
            namespace = vars(namespace[each])
        self._watch(namespace, (name,))

    def add_function(self, function: types.FunctionType) -> bool:
        """Remember a function that is sent by value; False if part of it may change unseen."""
        if any(function is known for known, *_ in self._functions):
            return True
        self._functions.append(
            (function, function.__code__, function.__defaults__, function.__kwdefaults__)
        )
        values = list(function.__defaults__ or ())
        for namespace in (function.__kwdefaults__, function.__dict__):
            if namespace:
                self._watch(namespace, tuple(namespace), whole=True)
                values += namespace.values()
        names = tuple(sorted(global_names(function.__code__)))
        self._watch(function.__globals__, names)
        values += [function.__globals__[name] for name in names if name in function.__globals__]
        for cell in function.__closure__ or ():
            try:
                contents = cell.cell_contents
            except ValueError:  # Not assigned yet, and nobody will tell us when.
                return False
            self._cells.append((cell, contents))
            values.append(contents)
        return all(map(self.add_value, values))

    def add_value(self, value: Any) -> bool:
        """Remember a value that a function uses; False if it may change unseen."""
        kind = type(value)
        if kind in _UNCHANGING:
            return True
        if kind is tuple or kind is frozenset:
            return all(map(self.add_value, value))
        if kind is types.ModuleType:
            if hasattr(value, "__path__"):
                self._module_count = len(sys.modules)
            return not is_by_value(value.__name__)
        if kind is types.FunctionType:
            return is_importable(value) or self.add_function(value)
        if kind is types.BuiltinFunctionType:
            # `[].append` is one as well, and its list can change.
            return isinstance(value.__self__, types.ModuleType | type | None)
        return isinstance(value, type) and is_importable(value)

    def _watch(
        self, namespace: Mapping[str, Any], names: tuple[str, ...], *, whole: bool = False
    ) -> None:
        size = len(namespace) if whole else None
        values = tuple(namespace.get(name, _MISSING) for name in names)
        self._namespaces.append((namespace, size, names, values))


def take_snapshot(function: Callable[..., Any]) -> Snapshot | None:
    """Return what to compare before *function*'s pickle is used again; ``None``: never use it again."""
    snapshot = Snapshot()
    if not isinstance(function, types.FunctionType | types.BuiltinFunctionType | type):
        return None
    if is_importable(function):
        snapshot.watch_name(function.__module__, function.__qualname__, function)
        return snapshot
    if isinstance(function, types.FunctionType) and snapshot.add_function(function):
        return snapshot
    return None


def is_importable(value: Any) -> bool:
    """Whether the module and qualified name of a function or class lead to it, in any process."""
    module_name = getattr(value, "__module__", None)
    if not isinstance(module_name, str) or is_by_value(module_name):
        return False
    found: Any = sys.modules.get(module_name)
    for name in value.__qualname__.split("."):
        try:
            found = vars(found)[name]
        except (TypeError, KeyError):
            return False
    return found is value


def global_names(code: types.CodeType) -> set[str]:
    """Names that *code*, or a function that it defines, looks up in the globals, as cloudpickle does."""
    import dis

    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in _GLOBAL_INSTRUCTIONS
    }
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= global_names(constant)
    return names
