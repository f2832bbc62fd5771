"""The two ends of every pickle of this package: `dump` and `_loads`.

Plain pickle is 20 times as fast as cloudpickle, so it goes first. What it cannot do, or would do by
a name that means something else in another process, is left to `distexec.wire.by_value`.
"""

import pickle
import types
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from distexec.wire.blobs import BytesLike, Mark

#: Part of ``__main__`` and of multiprocessing's ``__mp_main__``. A plain pickle that names either
#: module would find another program's main module in the worker.
_MAIN_MODULES = b"_main__"

#: Modules that `set_by_value` was given.
_names: tuple[str, ...] = ()

#: A pickle that contains one of these is made again by value. It may be mere text, and then that
#: costs time and changes nothing.
_marks: tuple[bytes, ...] = (_MAIN_MODULES,)


def dump(
    value: Any, buffers: list[pickle.PickleBuffer] | None = None, *, replace_marks: bool = False
) -> bytes:
    """Pickle *value* for another process.

    Args:
        buffers: Takes the large buffers of protocol 5, which then are not part of the result.
        replace_marks: Whether it takes those of handles too, for which something else will stand.

    Raises:
        BaseException: Whatever pickling raised, as it was: user code may run in here.
    """

    callback: Callable[[pickle.PickleBuffer], object] | None = None
    if buffers is not None:
        callback = buffers.append if replace_marks else partial(_collect, buffers)
    try:
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL, buffer_callback=callback)
    except (KeyboardInterrupt, MemoryError, RecursionError):
        raise
    except BaseException:
        # The reason does not matter: if by value fails as well, that error tells it.
        pass
    else:
        for mark in _marks:
            if mark in data:
                break
        else:
            return data
    if buffers:
        buffers.clear()

    from distexec.wire import by_value

    return by_value.dumps(value, callback)


def _collect(buffers: list[pickle.PickleBuffer], buffer: pickle.PickleBuffer) -> bool:
    """Take a buffer; what is refused (true) becomes part of the pickle."""
    if isinstance(buffer.raw().obj, Mark):
        return True
    buffers.append(buffer)
    return False


def _loads(data: BytesLike, buffers: Iterable[Any] = ()) -> Any:
    """Unpickle what a sealed frame brought. The only place of the package that does."""
    return pickle.loads(data, buffers=buffers)


def set_by_value(modules: Iterable[types.ModuleType]) -> None:
    """From now on, send what *modules* define by value: workers need not have them.

    Raises:
        ValueError: One of them is not a module, or not in ``sys.modules``.
    """
    global _names, _marks
    from distexec.wire import by_value

    modules = list(modules)
    by_value.register(modules)
    _names = tuple(sorted({*_names, *(module.__name__ for module in modules)}))
    marks = [_MAIN_MODULES]
    for name in _names:
        # As pickle writes a short string, so that a module "app" is not found in every "apple".
        encoded = name.encode()
        marks += [pickle.SHORT_BINUNICODE + bytes([len(encoded)]) + encoded, encoded + b"."]
    _marks = tuple(marks)


def by_value_marks() -> tuple[bytes, ...]:
    """Return what `set_by_value` changes; another object each time that it did."""
    return _marks


def is_by_value(module_name: str) -> bool:
    """Whether what this module defines is sent by value."""
    if module_name in ("__main__", "__mp_main__"):
        return True
    # A package covers its submodules.
    return any(f"{module_name}.".startswith(f"{name}.") for name in _names)
