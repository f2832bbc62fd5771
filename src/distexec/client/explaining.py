"""Says where a call went, or would go now, and by which figures."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distexec.client.calls import CallState, PendingCall, Place, Went
from distexec.client.futures import Future
from distexec.scheduling.placement import Estimate
from distexec.scheduling.priorities import Effective

if TYPE_CHECKING:
    from distexec.client.channel import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where a call is, and why; printed, it is some lines for people."""

    #: As `distexec explain` takes it, while the call is not settled.
    id: str | None
    #: The function's name, while the call is not settled.
    function: str | None
    #: ``waiting`` here, ``limited``: here as well, for a limit; ``resting`` between two attempts,
    #: ``sent``, ``running``, ``settled``.
    state: str
    #: The queue that it was sent to; where it waits, the one that it would be sent to now.
    queue: str
    #: What it could expect of each queue that it may go to, the chosen one first. Empty if it has
    #: no choice.
    estimates: tuple[Estimate, ...]
    #: How urgent it was when it was sent, or is now.
    priority: Effective
    #: Calls of the executor that wait here, this one included.
    waiting: int
    #: What limits it, if it waits for that.
    limit: str | None = None

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        name = f"{self.function} " if self.function else "the call "
        yield f"{name}is {self.state}" + (f" ({self.id})" if self.id else "")
        if self.estimates:
            verb = "would go" if self.state in ("waiting", "limited", "resting") else "went"
            yield f"it {verb} to queue {self.queue}, where it is expected to be done first:"
            yield from (f"  {told(estimate)}" for estimate in self.estimates)
        else:
            yield f"queue {self.queue}: the only one that it may go to"
        reasons = self.priority.reasons()
        base = f"priority {self.priority.base}"
        if reasons:
            yield f"{base}, counts as {self.priority.value}: {'; '.join(reasons)}"
        else:
            yield base
        if self.limit is not None:
            yield f"it waits for the {self.limit}, which all callers share"
        if self.state == "waiting":
            yield f"{self.waiting} calls of its executor wait here"


def explain(channel: "Channel", future: Future[Any]) -> Explanation:
    """Explain the call of *future*.

    Raises:
        ValueError: It never was a call: its arguments could not be sent.
    """
    call, went = future._call, future._went
    if call is None:
        if went is None:
            raise ValueError("this future's call was never sent anywhere: its arguments cannot be")
        return _explain_settled(
            channel, Went(went.queues[0], went) if isinstance(went, Place) else went
        )
    now = time.monotonic()
    is_here = call.is_here or call.state is CallState.RESTING
    gate = call.gate
    estimates, priority = call.estimates, call.effective or _plain(call.place)
    if is_here:
        estimates, priority = channel.window.judge(call, channel.leases, now)
    return Explanation(
        id=id_of(channel, call),
        function=call.label,
        state="running" if call.state is CallState.SENT and call.started else call.state.value,
        queue=estimates[0].queue if estimates else call.queue,
        estimates=estimates,
        priority=priority,
        waiting=channel.window.counts().waiting,
        limit=None if gate is None else str(gate),
    )


def id_of(channel: "Channel", call: PendingCall) -> str:
    """The call's name in the whole cluster: `distexec.current_call().id` has the same."""
    return f"{channel.ref.session}-{call.number}"


def _explain_settled(channel: "Channel", went: Went) -> Explanation:
    return Explanation(
        id=None,
        function=None,
        state="settled",
        queue=went.queue,
        estimates=went.estimates,
        priority=went.effective or _plain(went.place),
        waiting=channel.window.counts().waiting,
    )


def _plain(place: Place) -> Effective:
    return Effective(place.priority, place.priority)


def told(estimate: Estimate) -> str:
    """An estimate in words."""
    if math.isinf(estimate.total):
        return f"{estimate.queue}: no node serves it"
    slower = f", {estimate.slowdown:.2g} times slower by load" if estimate.slowdown > 1 else ""
    return (
        f"{estimate.queue}: {estimate.total:.3g} s = {estimate.wait:.3g} s for a slot "
        f"+ {estimate.run:.3g} s to run{slower} + {estimate.fetch:.3g} s for its data"
    )
