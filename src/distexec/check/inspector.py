"""Looks at calls: before, during and after; remembers what it saw by call site."""

import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from distexec.check.fingerprint import fingerprint
from distexec.check.memory import Watched, globals_of, watch
from distexec.check.pickling import LOCKS, QUEUES, dump, refusal

#: Calls of each site that are looked at whatever it costs.
ALWAYS = 3
#: After those, looking may take this part of the time the program has run.
SHARE = 0.25
#: One of a site's first calls waits this many seconds for another one to be compared, so that fast
#: calls that come together are not missed; it might be the one that the other waits for.
PATIENCE = 0.05
#: Seconds that all of them together wait, whatever part of the run that is.
ALL_PATIENCE = 0.5

_STANDARD = os.path.dirname(os.__file__)

#: Frames of these files are not where the user submits.
_PASSED_ON = (
    os.path.join(_STANDARD, "concurrent", "futures", ""),
    os.path.join(_STANDARD, "asyncio", ""),
    os.path.join(_STANDARD, "multiprocessing", ""),
    os.path.join(_STANDARD, "functools.py"),
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ""),
)


@dataclass(slots=True)
class Observation:
    """One kind of trouble at one site."""

    code: str
    severity: str
    message: str
    count: int = 0


@dataclass(slots=True)
class SiteRecord:
    """What was seen at one ``submit`` or ``map``."""

    path: str
    line: int
    function: str
    calls: int = 0
    checked: int = 0
    #: Calls whose memory was compared before and after.
    compared: int = 0
    observations: dict[tuple[str, str], Observation] = field(default_factory=dict)

    def note(self, code: str, severity: str, message: str) -> None:
        """Count one observation."""
        known = self.observations.setdefault((code, message), Observation(code, severity, message))
        known.count += 1


class Inspector:
    """Wraps calls so that they are looked at; safe to use from many threads."""

    def __init__(
        self, *, replay: bool = False, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        #: Also run each call that is looked at a second time, from its pickled copy.
        self.replay = replay
        self.sites: dict[tuple[str, int], SiteRecord] = {}
        self._clock = clock
        self._started = clock()
        self._spent = self._waited = 0.0
        self._lock = threading.Lock()
        #: Held by the one call whose memory is compared: a neighbour's writes are not its own.
        self._comparing = threading.Lock()

    def wrap(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        shares_memory: bool = True,
    ) -> Callable[..., Any]:
        """Look at a call that is being submitted; give back what to run in its place.

        Args:
            shares_memory: Whether the call runs in this process, so that it can change things.
        """
        return self._wrap(self._site(function), function, args, kwargs, shares_memory)

    def wrap_each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Look at calls whose arguments are not known yet; give back what to run in place."""
        return _LookAtEach(self, self._site(function), function)

    def noted(
        self, function: Callable[..., Any], inputs: Iterable[Any], *, unpack: bool
    ) -> Iterator[Any]:
        """Pass *inputs* on to calls in other processes, and look at each call by the way."""
        site = self._site(function)

        def passed() -> Iterator[Any]:
            for item in inputs:
                self._wrap(site, function, tuple(item) if unpack else (item,), {}, False)
                yield item

        return passed()

    def _wrap(
        self,
        site: SiteRecord,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        shares_memory: bool,
    ) -> Callable[..., Any]:
        with self._lock:
            site.calls += 1
            if site.checked >= ALWAYS and not self._is_affordable():
                return function
            site.checked += 1
        begin = self._clock()
        packed = self._pack(site, function, args, kwargs)
        self._charge(begin)
        if not shares_memory:
            with self._lock:
                site.compared += 1  # there is nothing that it could change
            return function
        return _Look(self, site, function, packed)

    def run(
        self,
        site: SiteRecord,
        function: Callable[..., Any],
        packed: bytes | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run the call in its worker thread, and look at what it does."""
        if site.compared >= ALWAYS and not self._is_affordable():
            # Many calls may have been let through before the first of them was paid for.
            return function(*args, **kwargs)
        if not self._may_compare(site):
            result = function(*args, **kwargs)
        else:
            try:
                begin = self._clock()
                watched = list(watch(function, args, kwargs))
                self._charge(begin)
                result = function(*args, **kwargs)
                begin = self._clock()
                self._compare(site, watched)
                self._charge(begin)
            finally:
                self._comparing.release()
        begin = self._clock()
        self._result(site, result, packed)
        self._charge(begin)
        return result

    def _may_compare(self, site: SiteRecord) -> bool:
        is_worth_waiting = self._waited < ALL_PATIENCE or self._is_affordable()
        if site.compared >= ALWAYS or not is_worth_waiting:
            return self._comparing.acquire(blocking=False)
        begin = self._clock()
        acquired = self._comparing.acquire(timeout=PATIENCE)
        with self._lock:
            self._waited += self._clock() - begin
        return acquired

    def _is_affordable(self) -> bool:
        return self._spent + self._waited < SHARE * (self._clock() - self._started)

    def _charge(self, begin: float) -> None:
        with self._lock:
            self._spent += self._clock() - begin

    def _site(self, function: Callable[..., Any]) -> SiteRecord:
        frame = _user_frame(sys._getframe(2))
        path, line = (frame.f_code.co_filename, frame.f_lineno) if frame else ("<unknown>", 0)
        with self._lock:
            site = self.sites.get((path, line))
            if site is None:
                site = self.sites[path, line] = SiteRecord(path, line, _label(function))
            return site

    def _pack(
        self,
        site: SiteRecord,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> bytes | None:
        for name, space in globals_of(function):
            value = space[name]
            if isinstance(value, LOCKS):
                self._note(
                    site,
                    "DX201",
                    "blocks",
                    f"uses the global lock {name!r}, a {type(value).__name__}",
                )
            elif isinstance(value, QUEUES):
                self._note(site, "DX202", "blocks", f"uses the global queue {name!r}")
            elif isinstance(value, threading.local):
                self._note(site, "DX304", "warns", f"uses the thread-local {name!r}")
        try:
            return dump((function, args, kwargs))
        except Exception:
            pass
        named: list[tuple[str, Any]] = [("the function", function)]
        named += [(f"args[{index}]", value) for index, value in enumerate(args)]
        named += [(f"kwargs[{name!r}]", value) for name, value in kwargs.items()]
        for name, value in named:
            found = refusal(value, name)
            if found is not None:
                path, culprit = found
                code = _kind(culprit)
                kind = f"{type(culprit).__module__}.{type(culprit).__qualname__}"
                self._note(site, code, "blocks", f"cannot be pickled: {path} is a {kind}")
        return None

    def _compare(self, site: SiteRecord, watched: list[Watched]) -> None:
        with self._lock:
            site.compared += 1
        for item in watched:
            after = fingerprint(item.value)
            if item.before is not None and after is not None and after != item.before:
                self._note(site, item.code, "blocks", f"changes {item.what}")

    def _result(self, site: SiteRecord, result: Any, packed: bytes | None) -> None:
        try:
            copy = pickle.loads(dump(result))
        except Exception:
            found = refusal(result, "the result")
            path, culprit = found if found is not None else ("the result", result)
            self._note(
                site,
                "DX210",
                "blocks",
                f"{path} cannot be sent back: a {type(culprit).__qualname__}",
            )
            return
        if type(copy) is not type(result):
            self._note(site, "DX210", "warns", "the result comes back as another type")
        if self.replay and packed is not None:
            self._replay(site, result, packed)

    def _replay(self, site: SiteRecord, result: Any, packed: bytes) -> None:
        try:
            function, args, kwargs = pickle.loads(packed)
            again = function(*args, **kwargs)
            same = dump(again) == dump(result)
        except Exception as error:
            self._note(
                site, "DX003", "blocks", f"its pickled copy fails: {type(error).__name__}: {error}"
            )
            return
        if not same:
            self._note(site, "DX003", "warns", "its pickled copy returns something else")

    def _note(self, site: SiteRecord, code: str, severity: str, message: str) -> None:
        with self._lock:
            site.note(code, severity, message)


class _Look:
    """The call that runs in place of the user's."""

    def __init__(
        self,
        inspector: Inspector,
        site: SiteRecord,
        function: Callable[..., Any],
        packed: bytes | None,
    ) -> None:
        self._inspector, self._site = inspector, site
        self._function, self._packed = function, packed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._inspector.run(self._site, self._function, self._packed, args, kwargs)


class _LookAtEach:
    """A function in whose place each call is looked at when it comes."""

    def __init__(
        self, inspector: Inspector, site: SiteRecord, function: Callable[..., Any]
    ) -> None:
        self._inspector, self._site, self._function = inspector, site, function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        look = self._inspector._wrap(self._site, self._function, args, kwargs, True)
        return look(*args, **kwargs)


def _user_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the user's own code."""
    while frame is not None and frame.f_code.co_filename.startswith(_PASSED_ON):
        frame = frame.f_back
    return frame


def _label(function: Callable[..., Any]) -> str:
    inner = getattr(function, "func", function)
    return getattr(inner, "__qualname__", None) or type(function).__qualname__


def _kind(culprit: Any) -> str:
    """The code that fits what cannot be pickled."""
    if isinstance(culprit, LOCKS):
        return "DX201"
    if isinstance(culprit, QUEUES):
        return "DX202"
    name = f"{type(culprit).__module__}.{type(culprit).__qualname__}".lower()
    for part, code in (
        ("thread", "DX203"),
        ("socket", "DX204"),
        ("_io.", "DX205"),
        ("generator", "DX206"),
        ("coroutine", "DX206"),
        ("sqlite3", "DX207"),
        ("connection", "DX207"),
        ("executor", "DX212"),
        ("context", "DX303"),
        ("client", "DX208"),
    ):
        if part in name:
            return code
    return "DX003"
