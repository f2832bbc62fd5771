"""What becomes of a call when it is submitted: it is encoded, measured, named and numbered."""

import itertools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from distexec.client.calls import (
    MOST_FUNCTIONS,
    NO_LIMITS,
    CallOptions,
    PendingCall,
    executor_of,
    label_of,
    numbers_of,
)
from distexec.client.counters import Counters
from distexec.client.depot import Use
from distexec.errors import PayloadTooLarge
from distexec.store.port import ExecutorRef
from distexec.wire.payload import Parts, size_of
from distexec.wire.records import CallFlag
from distexec.wire.values import FunctionPacker, PackedFunction, pack_arguments, pack_value
from distexec.worker import context

if TYPE_CHECKING:
    from distexec.client.futures import Future
    from distexec.client.session import Session


class Intake:
    """Makes one executor's calls of what its users submit."""

    def __init__(self, session: "Session", ref: ExecutorRef, counters: Counters) -> None:
        self._session, self._ref, self._counters = session, ref, counters
        self._packer = FunctionPacker()
        #: Names by function: one string for all calls of each.
        self._labels: dict[bytes, str] = {}
        self._numbers = itertools.count(numbers_of(ref))

    def pack_function(self, function: Callable[..., Any]) -> PackedFunction:
        """Encode a function, or find it among those that were; raises what its pickling does."""
        return self._packer.pack(function)

    def pack_arguments(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], held: list[Use]
    ) -> bytes:
        """Encode arguments; large parts go beside them, into *held*. Raises as pickling does."""
        return pack_arguments(args, kwargs, self._session.depot, held)

    def pack_value(self, value: object) -> Parts:
        """Encode a value that many calls will use.

        Raises:
            NotPicklable: It cannot be sent.
            PayloadTooLarge: It is above the limit.
        """
        parts = pack_value(value)
        self._check_size("the value is", size_of(parts))
        return parts

    def call(
        self,
        function: Callable[..., Any],
        packed: PackedFunction,
        payload: bytes,
        held: list[Use],
        future: "Future[Any]",
        options: CallOptions,
        inputs: int,
    ) -> PendingCall:
        """The call of what was encoded.

        Args:
            inputs: How many inputs of a `map` the one argument carries, by columns; 0 for a call.

        Raises:
            PayloadTooLarge: The arguments are above the limit.
        """
        limits = options.limits
        if limits is not NO_LIMITS:
            limits = limits.named(self._label(packed.function_id, function))
        size = len(payload)
        for use in held:
            size += 0 if use.is_known else use.value.ref.size
            self.count(use)
        self._check_size("the arguments are", size)
        return PendingCall(
            next(self._numbers),
            packed,
            payload,
            future,
            place=options.place,
            flags=CallFlag.GROUP if inputs else options.limits.flags,
            inputs=inputs or 1,
            label=options.name or self._label(packed.function_id, function),
            submitted_at=time.monotonic(),
            parent=self._parent() if self._session.cluster.is_home else None,
            limits=limits,
            values=tuple([use.value for use in held]) if held else (),
        )

    def encoded_call(
        self,
        packed: PackedFunction,
        payload: bytes,
        future: "Future[Any]",
        options: CallOptions,
        *,
        label: str,
        stories: tuple[str, ...],
    ) -> PendingCall:
        """A call that was encoded before, by whomever, and what became of its earlier attempts."""
        call = PendingCall(
            next(self._numbers),
            packed,
            payload,
            future,
            place=options.place,
            flags=options.limits.flags,
            label=label,
            submitted_at=time.monotonic(),
            limits=options.limits.named(label),
        )
        call.stories = stories
        return call

    def count(self, use: Use) -> None:
        """Count the bytes of a value that is sent, or was there already."""
        if use.is_known:
            self._counters.bytes_saved += use.value.ref.size
        else:
            self._counters.bytes_sent += use.value.ref.size

    def _label(self, function_id: bytes, function: Callable[..., Any]) -> str:
        label = self._labels.get(function_id)
        if label is None:
            if len(self._labels) >= MOST_FUNCTIONS:
                self._labels.clear()
            label = self._labels[function_id] = label_of(function)
        return label

    def _check_size(self, what: str, size: int) -> None:
        limit = self._session.settings.max_payload_bytes
        if size > limit:
            raise PayloadTooLarge(
                f"{what} {size:,} bytes when pickled, and the limit is "
                f"{int(limit):,} (DISTEXEC_MAX_PAYLOAD_BYTES): pass a path instead"
            )

    def _parent(self) -> str | None:
        """The running call of this very executor that submits another one to it, if so."""
        call = context.running.call
        if call is None or context.running.session != self._ref.session:
            return None
        is_ours = executor_of(call.number) == int(self._ref.executor)
        return f"{self._ref.session}-{call.number}" if is_ours else None
