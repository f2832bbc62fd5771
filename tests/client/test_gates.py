"""Gates: calls with a limit wait without being in the way, and what they hold comes back."""

import itertools
import math
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from distexec.client.calls import CallState, Limits, PendingCall, PermitRule, RateRule
from distexec.client.window import Window
from distexec.scheduling.permits import Share, share_out
from distexec.scheduling.rate_limits import MICROSECONDS, RateState, grant

from .test_window import make_call, numbers

SLOW = Limits(rate=RateRule(MICROSECONDS, "slow"))
FAST = Limits(rate=RateRule(10_000, "fast"))
FEW = Limits(permit=PermitRule(2, "few"))
BOTH = FEW._replace(rate=FAST.rate)


class Server:
    """The limits of a cluster, whose clock is turned by hand; callers' clocks show the same."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.rates: dict[str, RateState] = {}
        self.shares: dict[str, dict[str, Share]] = {}
        #: Every instant that a call was let go.
        self.granted: list[int] = []

    def serve(self, window: Window, name: str) -> float | None:
        """What `distexec.client.limiter` does for one executor."""
        now = round(self.now * MICROSECONDS)
        for permit_gate, asked in window.gates.permit_questions(self.now, nudged=True):
            shares, permits = share_out(
                self.shares.get(permit_gate.key, {}),
                name,
                now,
                limit=permit_gate.most,
                **asked._asdict(),
                expiry=60 * MICROSECONDS,
            )
            self.shares[permit_gate.key] = shares
            window.gates.note_permits(permit_gate, asked, permits, self.now)
        for rate_gate, question in window.gates.rate_questions(self.now):
            state = self.rates.get(rate_gate.key)
            self.rates[rate_gate.key], grants = grant(
                state, now, interval=rate_gate.interval, **question._asdict()
            )
            window.gates.note_grants(rate_gate, grants, self.now)
        return window.gates.pass_due(self.now)


def filled(limit: int = 4, **counts: Limits) -> tuple[Window, list[PendingCall]]:
    """A window with a call for each of the given limits."""
    window = Window(limit)
    calls = [make_call(n, limits=limits) for n, limits in enumerate(counts.values(), 1)]
    for call in calls:
        window.add(call)
    return window, calls


def test_a_call_without_a_limit_passes_those_that_wait() -> None:
    """They must not block it: else one slow limit would stop a whole program."""
    window, calls = filled(a=SLOW, b=SLOW, c=Limits(), d=Limits())

    assert numbers(window.take_ready(1, 0.0)) == [3, 4]
    assert window.find(1) is calls[0], "`distexec explain` asks for it"
    assert (len(window.gates), window.outstanding, window.counts().waiting) == (2, 2, 0)


def test_calls_go_at_their_instants_and_in_their_order() -> None:
    """One at once, the next a second later: not before, and without another question."""
    server = Server()
    window, _ = filled(a=SLOW, b=SLOW, c=SLOW)
    sent = []
    while len(sent) < 3:
        due = server.serve(window, "one")
        sent += [(server.now, number) for number in numbers(window.take_ready(1, server.now))]
        server.now = max(server.now, due) if due and due < math.inf else server.now

    assert [number for _, number in sent] == [1, 2, 3]
    assert [round(at - 1000, 3) for at, _ in sent] == [0, 1, 2]


def test_what_was_let_go_is_not_stopped_by_full_slots() -> None:
    """Its instant is now: it goes beside what is in flight, however much that is."""
    server, window = Server(), Window(1)
    for number in range(1, 9):
        window.add(make_call(number))
    in_flight = len(numbers(window.take_ready(1, server.now)))
    window.add(make_call(9, limits=SLOW))
    server.serve(window, "one")

    assert numbers(window.take_ready(1, server.now)) == [9]
    assert window.in_flight == in_flight + 1


def test_instants_that_were_slept_through_are_not_used_together() -> None:
    """The lid was closed for a minute: what was due meanwhile would go in one burst."""
    server, window = Server(), Window(20)
    for number in range(1, 21):
        window.add(make_call(number, limits=FAST))
    server.serve(window, "one")
    assert numbers(window.take_ready(1, 0.0)) == [1]

    server.now += 60
    server.serve(window, "one")

    assert len(numbers(window.take_ready(1, 0.0))) == 1


def test_a_permit_comes_back_however_the_call_ends() -> None:
    """Settled, cancelled on its way, returned, lost with its worker, or given up: none leaks."""

    def settle(window: Window, call: PendingCall) -> None:
        window.settle(call.number)

    def cancel(window: Window, call: PendingCall) -> None:
        window.take_back([(call.queue, call.entry)])
        assert window.cancel(call)

    def retry(window: Window, call: PendingCall) -> None:
        window.settle(call.number)
        window.rest(call, until=1e9)

    def drain(window: Window, call: PendingCall) -> None:
        window.drain()

    for end in (settle, cancel, retry, drain):
        server = Server()
        window, calls = filled(a=FEW, b=FEW, c=FEW)
        server.serve(window, "one")
        assert numbers(window.take_ready(1, server.now)) == [1, 2], "a third would be too many"
        other, _ = filled(a=FEW)
        server.serve(other, "other")
        assert not numbers(other.take_ready(1, server.now))

        for call in calls[:2]:
            end(window, call)
        if end is not drain:
            window.cancel(calls[2])
        server.serve(window, "one")
        server.serve(other, "other")

        assert numbers(other.take_ready(1, server.now)) == [1], end.__name__


def test_a_call_that_comes_back_asks_again() -> None:
    """What was granted was for that start: another one needs another instant, and its permit."""
    server = Server()
    window, (first, _) = filled(a=BOTH, b=BOTH)
    server.serve(window, "one")
    window.take_ready(1, server.now)

    assert window.give_back(first.number, first.entry) is first
    assert first.state is CallState.LIMITED
    assert not numbers(window.take_ready(1, server.now))
    server.now += 0.005  # Its instant is the one that the second had been given.
    server.serve(window, "one")
    assert not numbers(window.take_ready(1, server.now))
    server.now += 0.005
    server.serve(window, "one")
    assert numbers(window.take_ready(1, server.now)) == [2]
    server.now += 0.01
    server.serve(window, "one")
    assert numbers(window.take_ready(1, server.now)) == [1]


def test_the_more_urgent_goes_first_and_none_starves() -> None:
    """As in the line: of ten that go through while others wait, one is the oldest."""
    server, window = Server(), Window(1)
    for number in range(1, 31):
        window.add(make_call(number, limits=FAST, priority=9 if number > 10 else 3))
    order = []
    for _ in range(30):
        server.serve(window, "one")
        order += numbers(window.take_ready(1, server.now))
        window.settle(order[-1])
        server.now += 0.01

    assert order == [*range(11, 20), 1, *range(20, 29), 2, 29, 30, *range(3, 11)]


def test_instants_that_nobody_needs_go_back() -> None:
    """A call that waits an hour for its turn is cancelled: the next one need not wait for two."""
    server = Server()
    hour = Limits(rate=RateRule(3600 * MICROSECONDS, "hour"))
    window, calls = filled(a=hour, b=hour)
    server.serve(window, "one")
    assert numbers(window.take_ready(1, server.now)) == [1]
    server.now += 1  # By then it has asked for the second.
    server.serve(window, "one")
    promised = server.rates["hour"].next_at

    window.cancel(calls[1])
    server.serve(window, "one")

    assert server.rates["hour"].next_at == promised - 3600 * MICROSECONDS


def test_more_than_can_run_is_not_asked_for() -> None:
    """Instants and permits that wait for a slot would be kept from others who have one."""
    server, window = Server(), Window(2)
    many = Limits(permit=PermitRule(100, "many"))
    for number in range(1, 9):
        window.add(make_call(number, limits=many))
    server.serve(window, "one")

    assert numbers(window.take_ready(1, server.now)) == [1, 2]
    window.settle(1)
    server.serve(window, "one")
    assert numbers(window.take_ready(1, server.now)) == [3]


def test_calls_of_calls_are_not_held_up_by_their_parents() -> None:
    """A parent waits for them: with one worker, both would wait for ever."""
    server, window = Server(), Window(1)
    window.add(make_call(1, limits=FAST))
    server.serve(window, "one")
    assert numbers(window.take_ready(1, server.now)) == [1]

    window.add(make_call(2, limits=FAST, parent="session-1"))
    server.now += 1
    server.serve(window, "one")

    assert numbers(window.take_ready(1, server.now)) == [2]


def test_nothing_is_remembered_of_a_limit_that_is_not_used() -> None:
    """A program that names a new key for each customer must not fill its memory."""
    server, window = Server(), Window(4)
    for number in range(1, 100):
        limits = Limits(RateRule(1000, str(number)), permit=PermitRule(1, str(number)))
        window.add(make_call(number, limits=limits))
        server.serve(window, "one")
        window.take_ready(1, server.now)
        window.settle(number)
    server.now += 1
    server.serve(window, "one")

    assert server.serve(window, "one") is None
    assert not window.gates
    assert not any(server.shares.values())


class LimitedMachine(RuleBasedStateMachine):
    """Two executors that share limits, against what must hold for them together."""

    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.windows = [Window(3), Window(2)]
        self.calls: list[tuple[Window, PendingCall]] = []
        self.numbers = itertools.count(1)
        #: When calls with the fast limit were sent: that is when their instant had come.
        self.sent: list[tuple[str, float]] = []

    @rule(which=st.integers(0, 1), limits=st.sampled_from([FAST, FEW, BOTH, Limits()]))
    def add(self, which: int, limits: Limits) -> None:
        call = make_call(next(self.numbers), limits=limits)
        self.windows[which].add(call)
        self.calls.append((self.windows[which], call))

    @rule(which=st.integers(0, 1), send=st.booleans())
    def serve(self, which: int, send: bool) -> None:
        window = self.windows[which]
        self.server.serve(window, str(which))
        if send:
            for batch in window.take_ready(2, self.server.now):
                assert not any(call.gate for call in batch.calls)

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.3, 1.0]))
    def wait(self, seconds: float) -> None:
        self.server.now += seconds

    @rule(data=st.data(), how=st.sampled_from(["settle", "cancel", "back", "lost", "rest"]))
    def end(self, data: st.DataObject, how: str) -> None:
        if not self.calls:
            return
        window, call = data.draw(st.sampled_from(self.calls))
        if how == "settle":
            window.settle(call.number)
        elif how == "cancel":
            window.cancel(call)
        elif how == "back":
            window.give_back(call.number, call.entry)
        elif how == "lost":
            window.take_back([(call.queue, call.entry)])
        elif window.remove(call):
            window.rest(call, until=self.server.now)
            window.wake(self.server.now)

    @invariant()
    def never_more_than_permitted(self) -> None:
        holders = [
            call
            for _, call in self.calls
            if any(gate.key == "few" for gate in call.passed)
            and call.state in (CallState.LIMITED, CallState.WAITING, CallState.SENT)
        ]
        assert len(holders) <= 2
        told = sum(share.held for share in self.server.shares.get("few", {}).values())
        assert told >= len(holders), "somebody else may take what is in use"

    @invariant()
    def every_gate_knows_what_passed_it(self) -> None:
        for window in self.windows:
            mine = [call for owner, call in self.calls if owner is window]
            for gate in window.gates.all():
                assert gate.out == sum(call.passed.count(gate) for call in mine)
                assert len(gate) == sum(call.gate is gate for call in mine)
                assert [*gate] == [call for call in gate if call.state is CallState.LIMITED]

    @invariant()
    def everything_is_somewhere(self) -> None:
        for window in self.windows:
            mine = [call for owner, call in self.calls if owner is window]
            here = [call for call in mine if call.is_here or call.state is CallState.RESTING]
            assert {*window.waiting()} == {*here}
            assert len(window.gates) == sum(call.state is CallState.LIMITED for call in mine)
            sent = [call for call in mine if call.state is CallState.SENT]
            assert window.in_flight == len(sent)
            waiting = [call for call in mine if call.state is CallState.WAITING]
            assert window.outstanding == len(sent) + len(waiting)
            assert bool(window.queues()) == bool(sent or waiting)


LimitedMachine.TestCase.settings = hypothesis_settings(
    max_examples=80, stateful_step_count=40, deadline=None, database=None
)


class TestLimitedMachine(LimitedMachine.TestCase):  # type: ignore[misc,name-defined]
    """No permit is lost, none is used twice, and no call is."""


def test_statistics_of_waits() -> None:
    """How many calls a limit let go, and how long they had waited since they were submitted."""
    server = Server()
    call: Any = make_call(1, limits=SLOW, submitted_at=server.now - 5)
    window = Window(1)
    window.add(call)
    server.serve(window, "one")

    assert (window.gates.waits.total, window.gates.last_waits()) == (1, [5.0])
