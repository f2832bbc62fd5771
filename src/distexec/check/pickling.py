"""Can it be pickled, and if not, what exactly cannot."""

import io
import pickle
import queue
import threading
from typing import Any

try:
    from cloudpickle import CloudPickler as _Pickler  # type: ignore[import-untyped]  # has no types
except ImportError:  # the checker also serves programs that have only the standard library
    _Pickler = pickle.Pickler

LOCKS = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Event,
    threading.Condition,
    threading.Semaphore,
    threading.Barrier,
)
QUEUES = (queue.Queue, queue.SimpleQueue)

#: Values tried on the way to the culprit.
_MOST_TRIES = 300


def dump(value: Any) -> bytes:
    """Pickle *value* as a call would be, functions by value where needed.

    Raises:
        Exception: Whatever the value raises when it cannot be pickled.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def refusal(value: Any, name: str) -> tuple[str, Any] | None:
    """Path to, and value of, the first thing in *value* that cannot be pickled, if any."""
    if _can(value):
        return None
    path, tries = name, _MOST_TRIES
    while True:
        for step, part in _parts(value):
            tries -= 1
            if tries > 0 and not _can(part):
                path, value = path + step, part
                break
        else:
            return path, value


def _can(value: Any) -> bool:
    try:
        dump(value)
    except Exception:
        return False
    return True


def _parts(value: Any) -> list[tuple[str, Any]]:
    """What *value* is made of, with the path to each; of locks and queues, nothing."""
    if isinstance(value, LOCKS + QUEUES):
        return []
    if isinstance(value, dict):
        return [(f"[{key!r:.40}]", part) for key, part in list(value.items())]
    if isinstance(value, list | tuple | set | frozenset):
        return [(f"[{index}]", part) for index, part in enumerate(value)]
    parts: list[tuple[str, Any]] = []
    receiver = getattr(value, "__self__", None)
    if receiver is not None and not isinstance(receiver, type(pickle)):
        parts.append((".__self__", receiver))
    for attribute in ("func", "args", "keywords"):
        if type(value).__name__ == "partial":
            parts.append((f".{attribute}", getattr(value, attribute)))
    code = getattr(value, "__code__", None)
    if code is not None:
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=False):
            try:
                parts.append((f" captures {name}", cell.cell_contents))
            except ValueError:
                continue
        namespace = value.__globals__
        if namespace.get("__name__") == "__main__":
            parts += [(f" uses {n}", namespace[n]) for n in code.co_names if n in namespace]
    elif isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, type):
        parts += [(f".{name}", part) for name, part in list(vars(value).items())]
    return parts
