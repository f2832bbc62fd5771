"""A cheap, bounded digest of a value, to tell whether a call changed it."""

import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

#: Values visited in one digest; what lies deeper is taken as unchanged.
MOST_VALUES = 2_000
#: Bytes of a buffer that are looked at; larger ones are taken as unchanged.
MOST_BYTES = 1 << 20

_PLAIN = (str, int, float, complex, bool, type(None), bytes, range)
#: Known by identity: their inner state changes without the call's doing.
_OPAQUE = (
    ModuleType,
    type,
    FunctionType,
    BuiltinFunctionType,
    Executor,
    Future,
    threading.Thread,
    threading.Event,
    threading.Condition,
    threading.local,
)


def fingerprint(value: Any) -> int | None:
    """Digest of *value*; ``None`` if it changes while we look, or refuses to be looked at."""
    try:
        return _Digest().of(value)
    except Exception:
        # A value's own hash, length or iteration may raise anything.
        return None


class _Digest:
    """One walk over a value."""

    def __init__(self) -> None:
        self.left = MOST_VALUES
        self.seen: dict[int, int] = {}

    def of(self, value: Any) -> int:
        if isinstance(value, _PLAIN):
            # NaN has no stable hash of its own.
            return hash((type(value), value)) if value == value else hash((type(value), "nan"))
        if self.left <= 0 or isinstance(value, _OPAQUE):
            return id(value)
        known = self.seen.get(id(value))
        if known is not None:
            return known
        self.left -= 1
        self.seen[id(value)] = len(self.seen) + 1
        return self._inside(value)

    def _inside(self, value: Any) -> int:
        if isinstance(value, list | tuple | deque):
            return hash((type(value), len(value), *map(self.of, list(value)[: self.left])))
        if isinstance(value, Mapping):
            items = [(self.of(k), self.of(v)) for k, v in list(value.items())[: self.left]]
            return hash((type(value), len(value), *items))
        if isinstance(value, set | frozenset):
            return hash((type(value), len(value), sum(self.of(item) for item in list(value))))
        if isinstance(value, MethodType):
            return hash((id(value.__func__), self.of(value.__self__)))
        if isinstance(value, bytearray | memoryview) or hasattr(value, "__array_interface__"):
            return self._buffer(value)
        state = getattr(value, "__dict__", None)
        slots = [
            getattr(value, name, None)
            for kind in type(value).__mro__
            for name in _slots(kind)
            if name not in ("__dict__", "__weakref__")
        ]
        if state is None and not slots:
            return id(value)
        return hash((id(value), self.of(dict(state or {})), *map(self.of, slots)))

    def _buffer(self, value: Any) -> int:
        view = memoryview(value)
        return hash(view.tobytes()) if view.nbytes <= MOST_BYTES else view.nbytes


def _slots(kind: type) -> list[str]:
    slots = kind.__dict__.get("__slots__", ())
    return [slots] if isinstance(slots, str) else list(slots)
