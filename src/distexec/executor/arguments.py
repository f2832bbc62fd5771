"""What is checked at the moment it is given: counts, names of queues, modules, option names."""

import difflib
import importlib
import math
import os
import re
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import NoReturn

from distexec.client.calls import Place
from distexec.scheduling.priorities import Priority

#: More than any cluster has slots: a larger number is a mistake.
MOST_WORKERS = 1_000_000

#: Systems that count to 10 mean our 9 by it.
HIGHEST_OF_OTHERS = 10

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def reject(unknown: dict[str, object], where: str, known: Sequence[str]) -> NoReturn:
    name = next(iter(unknown))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f". Did you mean {near[0]!r}?" if near else f"; it takes {', '.join(known)}"
    if name == "max_workers":
        hint = ": a view shares its executor's workers, make another executor instead"
    raise TypeError(f"{where}() got an unexpected keyword argument {name!r}{hint}")


def check_count(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be a whole number, not {value}")
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer or None, not {type(value).__name__}")
    if value <= 0:
        raise ValueError(f"{name} must be greater than 0")
    if value > MOST_WORKERS:
        raise ValueError(f"{name} must be at most {MOST_WORKERS:,}, not {value:,}")


def check_queue(queue: object) -> str:
    if not isinstance(queue, str):
        raise TypeError(f"a queue's name is a string, not {type(queue).__name__}")
    if not _QUEUE_NAME.fullmatch(queue):
        raise ValueError(
            f"queue name {queue[:80]!r} must be 1 to 64 letters, digits, dots, dashes and "
            "underscores"
        )
    return queue


def change_place(
    place: Place, *, queue: str | None, queues: Sequence[str] | None, priority: int | None
) -> Place:
    """Return *place* with those changed that are not ``None``."""
    if queue is not None and queues is not None:
        raise ValueError("queue names one, queues those to choose from: give one of the two")
    if queue is not None:
        place = place._replace(queues=(check_queue(queue),))
    if queues is not None:
        if isinstance(queues, str) or not isinstance(queues, Sequence):
            raise TypeError(f"queues takes a list of names, not {queues!r}; queue takes one name")
        if not queues:
            raise ValueError("queues needs at least one name")
        place = place._replace(queues=tuple(dict.fromkeys(map(check_queue, queues))))
    if priority is not None:
        place = place._replace(priority=check_priority(priority))
    return place


def check_priority(priority: object) -> int:
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise TypeError(
            f"priority is a number from 0 to 9, or one of Priority's names, not {priority!r}"
        )
    if not 0 <= priority <= HIGHEST_OF_OTHERS:
        raise ValueError(f"priority must be from 0 to 9, not {priority}")
    return min(int(priority), Priority.URGENT.value)


def modules_of(ship: Sequence[ModuleType | str]) -> list[ModuleType]:
    """The modules to send by value, given as such, by name, or by the path of their file."""
    if isinstance(ship, (str, ModuleType)) or not isinstance(ship, Iterable):
        raise TypeError(f"ship takes a list of modules, names or paths, not {ship!r}")
    return [_module(item) for item in ship]


def _module(item: ModuleType | str | os.PathLike[str]) -> ModuleType:
    if isinstance(item, ModuleType):
        return item
    if not isinstance(item, str | os.PathLike):
        raise TypeError(f"ship takes modules, names or paths, not {item!r}")
    path = os.path.realpath(item)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file is not None and os.path.realpath(file) in (path, os.path.join(path, "__init__.py")):
            return module
    name = os.fspath(item)
    if os.sep in name or name.endswith(".py"):
        raise ValueError(f"ship: no module loaded from {name!r}: import it first")
    return importlib.import_module(name)
