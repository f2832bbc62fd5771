"""Pickling functions and classes by value, on cloudpickle. Imported when first needed.

A class that cloudpickle carried by value is one class again when it comes back: both sides track it
by an id. But cloudpickle then also writes the class's attributes, as they were when it was sent,
over those of the class it found: after a result arrives, the methods of the caller's own class
would be copies that see other globals, and a counter kept in the class would jump back. So the
process where a class was defined *owns* it: it is found there, and never written to.
"""

import functools
import io
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it ships no types

#: Classes defined in this process that went out by value.
_owned: weakref.WeakSet[type] = weakref.WeakSet()
#: Classes that came in by value. They are sent on by value too, and still belong to another
#: process.
_received: weakref.WeakSet[type] = weakref.WeakSet()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
    """cloudpickle's, made honest: files are refused, and classes keep their owner."""

    def reducer_override(self, value: Any) -> Any:
        if value is sys.stdout or value is sys.stderr:
            # The worker's own, of whatever type.
            return getattr, (sys, "stdout" if value is sys.stdout else "stderr")
        if isinstance(value, io.TextIOWrapper):
            # cloudpickle would send the file's text, and the worker would write into a copy.
            return value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        if type(value) is functools.cached_property:
            # Before Python 3.12 it has a lock, and no class that uses it could be sent.
            return _make_cached_property, (value.func, value.attrname)
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


def _make_cached_property(
    function: Callable[[Any], Any], name: str | None
) -> functools.cached_property[Any]:
    made = functools.cached_property(function)
    made.attrname = name
    return made


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
