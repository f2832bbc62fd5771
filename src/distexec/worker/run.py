"""Runs one call: from its envelope to its outcome. Everything that goes wrong is an outcome."""

import asyncio
import sys
import time
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from distexec.errors import (
    CallUnpickleError,
    ModuleMissing,
    NotPicklable,
    PayloadTooLarge,
    caused,
)
from distexec.wire.blobs import BESIDE_BYTES, BlobMissing, Fetch, StoredResult
from distexec.wire.exceptions import pack_exception
from distexec.wire.payload import Parts, join, size_of
from distexec.wire.records import CallFlag, Envelope, Reply, ReplyKind
from distexec.wire.values import result_parts, unpack_arguments, unpack_function
from distexec.worker.group import run_group, without_our_frames
from distexec.worker.limit import TimeLimit
from distexec.worker.usage import CpuMeter, kept_seconds

#: Functions that a process keeps of one executor. A program that makes a lambda per call would
#: otherwise fill the workers' memory.
MOST_FUNCTIONS = 512


class Functions:
    """The functions of one executor in this process, unpickled once each.

    Args:
        on_change: Called with a function that is not the one before.
    """

    def __init__(
        self,
        fetch: Callable[[bytes], bytes | memoryview | None],
        on_change: Callable[[Callable[..., Any]], None] | None = None,
    ) -> None:
        self._fetch, self._on_change = fetch, on_change
        self._last = b""
        self._known: OrderedDict[bytes, Callable[..., Any]] = OrderedDict()

    def get(self, function_id: bytes) -> Callable[..., Any] | None:
        """The function; ``None`` if the store does not have it.

        Raises:
            CallUnpickleError: It cannot be unpickled here.
        """
        function = self._known.get(function_id)
        if function is None:
            data = self._fetch(function_id)
            if data is None:
                return None
            function = self._known[function_id] = unpack_function(data)
            if len(self._known) > MOST_FUNCTIONS:
                self._known.popitem(last=False)
        if self._on_change is not None and function_id != self._last:
            self._last = function_id
            self._on_change(function)
        return function


class Execution:
    """Runs calls of one executor on the calling thread.

    Args:
        fetch: Brings the large values that a call uses.
        keep: Puts a large result beside the reply.
    """

    def __init__(
        self,
        functions: Functions,
        *,
        node: str,
        max_payload: float,
        fetch: Fetch,
        keep: Callable[[Parts], StoredResult],
    ) -> None:
        self._functions, self._node, self._max_payload = functions, node, max_payload
        self._fetch, self._keep = fetch, keep

    def run(self, call: Envelope) -> tuple[ReplyKind, bytes]:
        """Run *call*; return what its last reply says. Raises nothing."""
        kind = ReplyKind.DONE
        payload: bytes = b""
        result: Any
        try:
            try:
                function = self._functions.get(call.function_id)
                if function is None:
                    return ReplyKind.UNKNOWN_FUNCTION, b""
                args, kwargs = unpack_arguments(call.payload, self._fetch)
            except BlobMissing as error:
                return ReplyKind.UNKNOWN_BLOB, error.ref.name
            except CallUnpickleError as error:
                cause = error.__cause__
                if isinstance(cause, ModuleNotFoundError) and cause.name:
                    raise caused(ModuleMissing(cause.name, self._node), cause) from cause
                raise
            if call.flags & CallFlag.GROUP:
                result = run_group(function, args)
            else:
                # The user's function runs here.
                result = function(*args, **kwargs)
                if isinstance(result, types.CoroutineType):
                    result = asyncio.run(result)
            del args, kwargs, function
            parts = _pack(result)
            del result
            size = size_of(parts)
            if size > self._max_payload:
                raise PayloadTooLarge(
                    f"the result is {size:,} bytes when pickled, and the limit is "
                    f"{int(self._max_payload):,} (DISTEXEC_MAX_PAYLOAD_BYTES): store it and return "
                    "its path"
                )
            if size >= BESIDE_BYTES:
                kind, payload = ReplyKind.STORED, self._keep(parts).encode()
            else:
                payload = join(parts)
            del parts
        except BaseException as error:
            kind = ReplyKind.FAILED
            payload = pack_exception(without_our_frames(error))
        return kind, payload


def run_call(call: Envelope, execution: Execution) -> Reply:
    """Run *call* on this thread; return its last reply."""
    is_group = call.flags & CallFlag.GROUP
    kept_before = kept_seconds() if is_group else 0.0
    started = time.monotonic()
    meter = CpuMeter(started)
    kind, payload = execution.run(call)
    now = time.monotonic()
    run_seconds = now - started
    cpu_seconds = meter.computed(run_seconds, now)
    if is_group:
        # It decides how many inputs travel together: more, not fewer, while the machine is busy.
        kept = min(kept_seconds() - kept_before, run_seconds)
        run_seconds, cpu_seconds = run_seconds - kept, max(0.0, cpu_seconds - kept)
    return Reply(call.number, kind, call.attempt, run_seconds, cpu_seconds, payload)


def run_within(limit: TimeLimit, call: Envelope, run: Callable[[Envelope], Reply]) -> Reply:
    """Return what *run* says of the call; one that was interrupted ends in the limit's error."""
    reply = limit.hold(lambda: run(call))
    if reply is not None and not limit.expired:
        return reply
    return out_of_time(call, limit)


def out_of_time(call: Envelope, limit: TimeLimit) -> Reply:
    """The last reply of a call that outlasted its *limit*."""
    payload = pack_exception(limit.error)
    return Reply(call.number, ReplyKind.FAILED, call.attempt, limit.seconds, 0.0, payload)


def _pack(result: object) -> Parts:
    try:
        return result_parts(result)
    except NotPicklable as error:
        if isinstance(error.__cause__, SystemExit):
            raise error.__cause__ from None  # As the standard library's worker does.
        raise


def flush_output() -> None:
    """Let out what calls printed, before their replies leave. A broken stream is the user's."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # It may be none as well.
            continue
