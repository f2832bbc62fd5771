"""What Celery's remote control and Flower show of a lease: whose it is, and what it runs.

A lease is one task with one argument, a signed frame that says nothing to people. So its request
tells what the node knows: from its books and the demand records, whom each child serves; and from
memory that it shares with its children, which function they called last.
"""

import mmap
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

#: Slots that have a cell, and its bytes: the length of a name and the name.
_CELLS: Final = 4096
_CELL_BYTES: Final = 128


class Served(NamedTuple):
    """An executor that a child serves."""

    queue: str
    executor: str
    #: Host and process.
    caller: str


class Display:
    """What is shown: written by the node's slots and by its main process, read by the latter."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _CELLS * _CELL_BYTES)
        self._served: Mapping[int, Served] = {}
        self._index: Mapping[int, int] = {}

    def note_function(self, index: int, function: Callable[..., Any]) -> None:
        """Note which function the slot calls from now on."""
        if index < _CELLS:
            name = _name(function).encode(errors="replace")[: _CELL_BYTES - 1]
            start = index * _CELL_BYTES
            self._memory[start : start + 1 + len(name)] = bytes([len(name)]) + name

    def update(self, served: Mapping[int, Served], index: Mapping[int, int]) -> None:
        """Note whom each child serves, and where it is in the pool, both by process."""
        self._served, self._index = served, index

    def describe(self, pid: int | None) -> dict[str, str]:
        """What the child *pid* does, for people; empty if that is not known."""
        served = self._served.get(pid or 0)
        if served is None:
            return {}
        return {**served._asdict(), "function": self._function(self._index.get(pid or 0, _CELLS))}

    def _function(self, index: int) -> str:
        if index >= _CELLS:
            return ""
        start = index * _CELL_BYTES + 1
        return self._memory[start : start + self._memory[start - 1]].decode(errors="replace")


#: Of the node that this process is or is a child of.
current = Display()


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or '?'}.{name}"
