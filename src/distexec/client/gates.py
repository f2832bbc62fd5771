"""The gates of one executor: which of them a call goes through, and what is asked for them."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from distexec.client.calls import REMEMBERED_CALLS, PendingCall, PermitRule, RateRule
from distexec.client.gate import Gate, PermitGate, PermitQuestion, RateGate, RateQuestion
from distexec.scheduling.histogram import Histogram
from distexec.scheduling.permits import Permits
from distexec.scheduling.rate_limits import Grants


class Gates:
    """An executor's gates, by what they are for.

    Args:
        lock: Their window's.
        limit: Most calls of the executor that run at the same time.
        let_go: Takes the calls that passed their last gate. Called under the lock.
    """

    def __init__(
        self, lock: threading.Lock, limit: int, let_go: Callable[[list[PendingCall]], None]
    ) -> None:
        self._lock, self._limit, self._let_go = lock, limit, let_go
        self._rates: dict[RateRule, RateGate] = {}
        #: By key: what an executor says of it is one thing, whatever its views say.
        self._permits: dict[str | None, PermitGate] = {}
        #: Seconds from submit to the last gate, of all calls that passed it, and of the last ones.
        self.waits = Histogram()
        self._wait_seconds: deque[float] = deque(maxlen=REMEMBERED_CALLS)

    def __bool__(self) -> bool:
        return bool(self._rates or self._permits)

    def __len__(self) -> int:
        """How many calls wait."""
        return sum(map(len, self.all()))

    def last_waits(self) -> list[float]:
        """Seconds from submit to the last gate, of the last calls."""
        return list(self._wait_seconds.copy())

    # For their window, which has the lock.

    def __iter__(self) -> Iterator[PendingCall]:
        """Go through the calls that wait, each once."""
        return chain.from_iterable(self.all())

    def all(self) -> list[Gate]:
        """Every gate."""
        return [*self._permits.values(), *self._rates.values()]

    def enter(self, call: PendingCall, *, again: bool = False) -> None:
        """Let a call that has limits wait at its first gate."""
        self.release(call)
        self._next_gate(call, again=again)

    def _next_gate(self, call: PendingCall, *, again: bool) -> bool:
        permit, rate = call.limits.permit, call.limits.rate
        gate: Gate
        # A permit first: an instant cannot wait for one.
        if permit is not None and not call.passed:
            gate = self._permit_gate(permit)
        elif rate is not None and not any(isinstance(each, RateGate) for each in call.passed):
            gate = self._rate_gate(rate)
        else:
            return False
        gate.add(call, again=again)
        return True

    def _rate_gate(self, rule: RateRule) -> RateGate:
        gate = self._rates.get(rule)
        if gate is None:
            gate = self._rates[rule] = RateGate(rule)
        return gate

    def _permit_gate(self, rule: PermitRule) -> PermitGate:
        gate = self._permits.get(rule.key)
        if gate is None:
            gate = self._permits[rule.key] = PermitGate(rule)
        gate.most = rule.most
        return gate

    @staticmethod
    def release(call: PendingCall) -> None:
        """Take *call* out of the gate where it waits, and give back what it got at others."""
        if call.gate is not None:
            call.gate.leave(call)
        for gate in call.passed:
            gate.out -= 1
        call.passed = ()

    def clear(self) -> None:
        """Let go of every call; the server is told of that later."""
        for gate in self.all():
            for call in gate:
                call.gate = None
            gate.clear()

    # For the limiter, which asks what is to be asked, and brings the answers.

    def rate_questions(self, now: float) -> list[tuple[RateGate, RateQuestion]]:
        """What to ask about rates."""
        with self._lock:
            found = [(gate, gate.question(now, self._limit)) for gate in self._rates.values()]
        return [(gate, question) for gate, question in found if question is not None]

    def permit_questions(
        self, now: float, *, nudged: bool
    ) -> list[tuple[PermitGate, PermitQuestion]]:
        """What to say and ask about permits.

        Args:
            nudged: Whether there may be one for somebody who waits.
        """
        with self._lock:
            for gate in self._permits.values() if nudged else ():
                gate.nudge()
            found = [(gate, gate.question(now, self._limit)) for gate in self._permits.values()]
        return [(gate, question) for gate, question in found if question is not None]

    def note_grants(self, gate: RateGate, grants: Grants, now: float) -> None:
        """Keep the instants that the server gave."""
        with self._lock:
            gate.note(grants, now)

    def note_permits(
        self, gate: PermitGate, question: PermitQuestion, permits: Permits, now: float
    ) -> None:
        """Let the calls go on to which the server gave a permit."""
        with self._lock:
            self._pass(gate.note(question, permits, now), now)

    def pass_due(self, now: float) -> float | None:
        """Let the calls go whose instant has come.

        Returns:
            When to look after limits again; ``None`` if none is in use.
        """
        with self._lock:
            for gate in self._rates.values():
                self._pass(gate.pass_due(now), now)
            self._rates = {rule: gate for rule, gate in self._rates.items() if not gate.is_idle}
            self._permits = {key: gate for key, gate in self._permits.items() if not gate.is_idle}
            return min((gate.due(self._limit) for gate in self.all()), default=None)

    def _pass(self, calls: Iterable[PendingCall], now: float) -> None:
        """Let *calls* wait at their next gate; those that have none left go."""
        free = [call for call in calls if not self._next_gate(call, again=False)]
        for call in free:
            waited = now - call.submitted_at
            self.waits.add(waited)
            self._wait_seconds.append(waited)
        self._let_go(free)
