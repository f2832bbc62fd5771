"""What calls do with large values, in whatever process they run."""

import os
from pathlib import Path
from typing import Any

import numpy

import distexec

#: Above all limits from which values travel beside their calls, and are mapped.
LARGE = 6 * 1024 * 1024


def look(array: Any, index: int) -> float:
    return float(array[index])


def overwrite(array: Any) -> tuple[float, float]:
    """What the first item was, and is after an attempt to change it for all others."""
    before = float(array[0])
    array[:] = 7
    return before, float(array[0])


def type_and_size(value: Any) -> tuple[str, int]:
    return type(value).__name__, len(value)


def first_and_last(value: bytes) -> tuple[int, int]:
    return value[0], value[-1]


def items_of(nested: dict[str, list[Any]], *, extra: Any) -> tuple[float, float, bool]:
    """Look into values that stand in containers; two times one value are one object."""
    first, second = nested["arrays"]
    return float(first[1]), float(extra[2]), first is second


def make(size: int, value: float) -> Any:
    return numpy.full(size // 8, value)


def make_many(size: int) -> dict[str, Any]:
    return {"array": numpy.arange(size // 8), "bytes": b"x" * size, "list": list(range(1000))}


def name_of_type(value: Any) -> str:
    return type(value).__name__


def pass_on(handle: distexec.Handle[Any]) -> float:
    """Give a handle that came with this call's function to another call."""
    with distexec.DistributedExecutor(1) as executor:
        return executor.submit(look, handle, 3).result()


def make_and_die_once(folder: str, size: int) -> Any:
    """End this process at the first attempt."""
    mark = Path(folder, "died")
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return numpy.full(size // 8, 5.0)


_loaded: list[Any] = []


def load(handle: distexec.Handle[Any]) -> None:
    """An initializer."""
    _loaded[:] = [handle.get()]


def loaded(index: int) -> float:
    return float(_loaded[0][index])
