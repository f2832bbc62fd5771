"""Whether a function is still what it was when it was pickled.

A pickle by reference stays true while its name leads to the same object. A pickle by value holds
code, defaults, closure variables and globals, of the function and of all functions and classes that
it uses; it stays true while each of these is the same object, and none of them can change inside.
Whatever is not known to be so (a list, an instance, an open question) gives no snapshot: then the
function is pickled again for each call.
"""

import collections
import enum
import functools
import logging
import re
import sys
import types
from collections.abc import Callable, Mapping, Sized
from typing import Any, NewType

from distexec.wire.pickling import by_value_marks, is_by_value

_MISSING = object()

#: What ``functools.cache`` makes.
_CachedFunction = type(functools.cache(len))

#: Instances of exactly these cannot change, or are pickled by name, whatever is in them (loggers).
_UNCHANGING = frozenset(
    {
        *(int, float, complex, bool, str, bytes, range),
        *(type(None), type(Ellipsis), type(NotImplemented)),
        *(re.Pattern, logging.Logger),
        # Parts of classes.
        *(types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType),
        *(types.MethodDescriptorType, types.ClassMethodDescriptorType),
        type(collections.namedtuple("_", "field").field),  # type: ignore[attr-defined]  # a trick
    }
)

_GLOBAL_INSTRUCTIONS = frozenset({"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"})

#: What a class has that does not change what its code does; copyreg adds __slotnames__ when an
#: instance is pickled.
_IDLE_NAMES = re.compile(r"__(annot\w*|dataclass_params|doc|dict|slotnames|weakref)__")


class Snapshot:
    """What went into a pickle, to be compared by identity. Made by `take_snapshot`."""

    __slots__ = ("_cells", "_classes", "_functions", "_marks", "_names", "_root_state", "_sizes")

    def __init__(self) -> None:
        self._marks = by_value_marks()
        #: Code and defaults of the function itself, apart from the others': a snapshot that held
        #: its own function would keep it alive.
        self._root_state: tuple[types.CodeType, Any, Any] | None = None
        self._functions: list[tuple[types.FunctionType, types.CodeType, Any, Any]] = []
        self._classes: list[tuple[type, tuple[type, ...]]] = []
        self._names: list[tuple[Callable[[str, object], object], str, object]] = []
        self._sizes: list[tuple[Sized, int]] = []
        self._cells: list[tuple[types.CellType, object]] = []

    def holds(self, root: Any) -> bool:
        """Whether pickling *root*, whose snapshot this is, would give the same now.

        Written for speed: it runs at each submit.
        """
        if self._marks is not by_value_marks():
            return False
        if self._root_state is not None:
            code, defaults, keyword_defaults = self._root_state
            if (
                root.__code__ is not code
                or root.__defaults__ is not defaults
                or root.__kwdefaults__ is not keyword_defaults
            ):
                return False
        for look_up, name, found in self._names:
            if look_up(name, _MISSING) is not found:
                return False
        for function, code, defaults, keyword_defaults in self._functions:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not keyword_defaults
            ):
                return False
        for namespace, size in self._sizes:
            if len(namespace) != size:
                return False
        for kind, bases in self._classes:
            if kind.__bases__ is not bases:
                return False
        for cell, contents in self._cells:
            try:
                if cell.cell_contents is not contents:
                    return False
            except ValueError:  # Empty by now.
                return False
        return True

    def add_name(self, module_name: str, qualified_name: str) -> None:
        """Remember what this name leads to, through classes if it has dots."""
        self._look_up(sys.modules, module_name)
        namespace: Mapping[str, Any] = sys.modules[module_name].__dict__
        *classes, name = qualified_name.split(".")
        for each in classes:
            self._look_up(namespace, each)
            namespace = namespace[each].__dict__
        self._look_up(namespace, name)

    def add_value(self, value: Any) -> bool:
        """Remember a value that a function uses; False if it may change unseen."""
        kind = type(value)
        if kind in _UNCHANGING:
            return True
        if kind is tuple or kind is frozenset:
            return all(map(self.add_value, value))
        if kind is types.FunctionType:
            return is_importable(value) or self.add_function(value)
        if kind is types.BuiltinFunctionType:
            # `[].append` is one as well, and its list can change.
            return isinstance(value.__self__, types.ModuleType | type | None)
        if isinstance(value, type):
            return is_importable(value) or self._add_class(value)
        if isinstance(value, enum.Enum):
            return self.add_value(kind)
        if kind is _CachedFunction:
            return is_importable(value) or self.add_value(value.__wrapped__)
        if kind is NewType:
            return self.add_value(value.__supertype__)
        if kind is types.ModuleType and not is_by_value(value.__name__):
            if hasattr(value, "__path__"):
                # A package goes with the submodules that were imported by then.
                self._sizes.append((sys.modules, len(sys.modules)))
            return True
        return False

    def add_function(self, function: types.FunctionType) -> bool:
        """Remember a function that is sent by value; False if part of it may change unseen.

        The first one is the root.
        """
        if any(function is known for known, *_ in self._functions):
            return True
        state = function.__code__, function.__defaults__, function.__kwdefaults__
        if self._root_state is None:
            self._root_state = state
        else:
            self._functions.append((function, *state))
        values = list(function.__defaults__ or ())
        for namespace in (function.__kwdefaults__ or {}, function.__dict__):
            values += self._look_up_all(namespace)
        for name in sorted(global_names(function.__code__)):
            self._look_up(function.__globals__, name)
            if name in function.__globals__:
                values.append(function.__globals__[name])
        for cell in function.__closure__ or ():
            try:
                contents = cell.cell_contents
            except ValueError:  # Not assigned yet, and nobody will tell us when.
                return False
            self._cells.append((cell, contents))
            values.append(contents)
        return all(map(self.add_value, values))

    def _add_class(self, kind: type) -> bool:
        """Remember a class that is sent by value. Those with metaclasses are too many stories."""
        if any(kind is known for known, _ in self._classes):
            return True
        if type(kind) is not type and not isinstance(kind, enum.EnumType):
            return False
        self._classes.append((kind, kind.__bases__))
        self._look_up_all(kind.__dict__)
        values: list[Any] = list(kind.__bases__)
        for name, value in kind.__dict__.items():
            if isinstance(kind, enum.EnumType) and (
                name.startswith("_") or name in kind.__members__
            ):
                # The metaclass wrote these, or guards them. (A dunder method of the user's own that
                # uses something changeable is not seen to change.)
                continue
            if _IDLE_NAMES.fullmatch(name) or _is_made_by_dataclass(value):
                continue
            values += _class_attribute_parts(name, value)
        if isinstance(kind, enum.EnumType):
            members: Mapping[str, enum.Enum] = kind.__members__
            values += [member.value for member in members.values()]
        return all(map(self.add_value, values))

    def _look_up(self, namespace: Mapping[str, Any], name: str) -> None:
        self._names.append((namespace.get, name, namespace.get(name, _MISSING)))

    def _look_up_all(self, namespace: Mapping[str, Any]) -> list[Any]:
        self._sizes.append((namespace, len(namespace)))
        for name in namespace:
            self._look_up(namespace, name)
        return list(namespace.values())


def take_snapshot(function: Callable[..., Any]) -> Snapshot | None:
    """Return what to compare before the pickle of *function* is used again; ``None``: never do."""
    if not isinstance(
        function, types.FunctionType | types.BuiltinFunctionType | _CachedFunction | type
    ):
        return None
    snapshot = Snapshot()
    if is_importable(function):
        snapshot.add_name(function.__module__, function.__qualname__)
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
    # Type variables have no qualified name.
    for name in getattr(value, "__qualname__", value.__name__).split("."):
        try:
            found = found.__dict__[name]
        except (AttributeError, KeyError):
            return False
    return found is value


def global_names(code: types.CodeType) -> set[str]:
    """Names that *code*, or a function in it, looks up in the globals, as cloudpickle sees it."""
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


def _class_attribute_parts(name: str, value: Any) -> list[Any]:
    """Return what to look into for an attribute of a class."""
    if isinstance(value, staticmethod | classmethod):
        return [value.__func__]
    if isinstance(value, property):
        return [value.fget, value.fset, value.fdel]
    if isinstance(value, functools.cached_property):
        return [value.func]
    if name == "__dataclass_fields__":
        # Defaults are attributes as well; and MISSING stands for "no factory".
        factories = [field.default_factory for field in value.values()]
        return [each for each in factories if type(each).__module__ != "dataclasses"]
    if name == "_field_defaults":  # Of a named tuple.
        return list(value.values())
    return [value]


def _is_made_by_dataclass(value: Any) -> bool:
    """Whether the decorator wrote this method; its closure has sets and sentinels in it."""
    function = getattr(value, "__wrapped__", value)
    code = getattr(function, "__code__", None)
    return isinstance(code, types.CodeType) and code.co_qualname.startswith("__create_fn__.")
