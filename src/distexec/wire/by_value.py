"""Pickling functions and classes by value, on cloudpickle. Imported when first needed.

A class that cloudpickle carried by value is one class again when it comes back: both sides track it
by an id. But cloudpickle then also writes the class's attributes, as they were when it was sent,
over those of the class it found: after a result arrives, the methods of the caller's own class
would be copies that see other globals, and a counter kept in the class would jump back. So the
process where a class was defined *owns* it: it is found there, and never written to.
"""

import collections
import functools
import io
import pickle
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import cloudpickle  # type: ignore[import-untyped]  # it ships no types

from distexec.wire.snapshot import is_importable

#: Classes defined in this process that went out by value.
_owned: weakref.WeakSet[type] = weakref.WeakSet()
#: Classes that came in by value. They are sent on by value too, and still belong to another
#: process.
_received: weakref.WeakSet[type] = weakref.WeakSet()


def _reduce_cached_function(value: Any) -> Any:
    """Send the function in a ``functools.cache``, and not what it remembers."""
    if is_importable(value):
        return value.__reduce__()
    return _make_cached_function, (value.__wrapped__, value.cache_parameters())


def _make_cached_function(
    function: Callable[..., Any], parameters: dict[str, Any]
) -> Callable[..., Any]:
    made: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    return made


def _reduce_cached_property(value: functools.cached_property[Any]) -> Any:
    """Send it without the lock that it has before Python 3.12."""
    return _make_cached_property, (value.func, value.attrname)


def _make_cached_property(
    function: Callable[[Any], Any], name: str | None
) -> functools.cached_property[Any]:
    made = functools.cached_property(function)
    made.attrname = name
    return made


def _reduce_type_name(value: Any) -> Any:
    """Send what stands in annotations, which travel with their function."""
    if is_importable(value):
        return value.__reduce__()
    names = ("__supertype__", "__value__")
    meaning = [getattr(value, name) for name in names if hasattr(value, name)]
    return _make_type_name, (type(value), value.__module__, value.__name__, *meaning)


def _make_type_name(kind: type, module_name: str, *arguments: Any) -> Any:
    made = kind(*arguments)
    try:
        made.__module__ = module_name
    except AttributeError:
        # An alias made by a `type` statement does not let it be set.
        pass
    return made


def _reduce_weak_mapping(value: Any) -> Any:
    """Send what is in it, as cloudpickle does with a WeakSet. A ``singledispatch`` has one."""
    return type(value), (dict(value),)


def _reduce_memoryview(value: memoryview) -> Any:
    """Send what it shows, out of band, where cloudpickle would send a copy of it as bytes."""
    if not value.contiguous:
        return memoryview, (value.tobytes(),)
    return _make_memoryview, (pickle.PickleBuffer(value), value.format, value.shape)


def _make_memoryview(buffer: Any, format_: Any, shape: tuple[int, ...]) -> Any:
    flat = memoryview(buffer).cast("B")
    return flat.cast(format_, shape) if format_ != "B" or len(shape) != 1 else flat


def _reduce_text_file(value: io.TextIOWrapper) -> NoReturn:
    """Refuse it. cloudpickle would send its text, and the worker would write into a copy."""
    raise TypeError(f"cannot pickle {type(value).__name__!r} instances")


#: What cloudpickle refuses, falsifies, or sends by a name that the worker's ``__main__`` has not.
_REDUCERS: dict[type, Callable[[Any], Any]] = {
    type(functools.cache(len)): _reduce_cached_function,
    functools.cached_property: _reduce_cached_property,
    typing.NewType: _reduce_type_name,
    typing.ParamSpec: _reduce_type_name,
    typing.TypeVarTuple: _reduce_type_name,
    memoryview: _reduce_memoryview,
    weakref.WeakKeyDictionary: _reduce_weak_mapping,
    weakref.WeakValueDictionary: _reduce_weak_mapping,
    io.TextIOWrapper: _reduce_text_file,
}
if hasattr(typing, "TypeAliasType"):  # Python 3.12
    _REDUCERS[typing.TypeAliasType] = _reduce_type_name


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
    """cloudpickle's, with the reducers above, and with classes that keep their owner."""

    dispatch_table = collections.ChainMap(_REDUCERS, cloudpickle.Pickler.dispatch_table)

    def reducer_override(self, value: Any) -> Any:
        if value is sys.stdout or value is sys.stderr:
            # The worker's own, of whatever type.
            return getattr, (sys, "stdout" if value is sys.stdout else "stderr")
        reduced = super().reducer_override(value)
        if isinstance(value, type) and isinstance(reduced, tuple) and len(reduced) == 6:
            if value not in _received:
                _owned.add(value)
            make, arguments, state, _, _, set_state = reduced
            return _receive, (make, *arguments), (set_state, state), None, None, _update
        return reduced

    def dump(self, value: Any) -> None:
        # Past cloudpickle's own `dump`, which turns RecursionError into PicklingError.
        pickle.Pickler.dump(self, value)


def _receive(make: Callable[..., type], *arguments: Any) -> type:
    """Unpickle a class: the one known by its id already, or a new one."""
    found = make(*arguments)
    if found not in _owned:
        _received.add(found)
    return found


def _update(found: type, state: tuple[Callable[[type, Any], None], Any]) -> None:
    set_state, attributes = state
    if found not in _owned:
        set_state(found, attributes)


def dumps(
    value: Any, buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None
) -> bytes:
    """Pickle *value*; functions and classes by value where no other process could import them."""
    if (main := sys.modules.get("__mp_main__")) is not None:
        # In a child of multiprocessing, __main__ has this name, and cloudpickle does not know it.
        register([main])
    with io.BytesIO() as file:
        _Pickler(file, pickle.HIGHEST_PROTOCOL, buffer_callback).dump(value)
        return file.getvalue()


def register(modules: Iterable[types.ModuleType]) -> None:
    """From now on, pickle what *modules* define by value."""
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
