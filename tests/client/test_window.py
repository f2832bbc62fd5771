"""The window knows where each call is; whatever happens twice or too late changes nothing."""

import itertools
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from distexec.client.calls import Batch, CallState, PendingCall, Place
from distexec.client.futures import Future
from distexec.client.line import ALONE_BYTES
from distexec.client.window import Window
from distexec.scheduling.placement import Estimate
from distexec.scheduling.run_times import TELLING_CALLS
from distexec.wire.records import CallFlag

#: The window looks at no clock.
NOW = 0.0

FUNCTION = (b"f" * 16, b"pickle")
OTHER = (b"g" * 16, b"pickle")


def make_call(number: int, **changes: Any) -> PendingCall:
    options = {
        "flags": 0,
        "label": "f",
        "submitted_at": float(number),
        "function": FUNCTION,
        "payload": b"payload",
    } | changes
    function, payload = options.pop("function"), options.pop("payload")
    options["place"] = Place((options.pop("queue", "q"),), options.pop("priority", 5))
    return PendingCall(number, function, payload, Future(), **options)


def filled(count: int, limit: int = 100, **changes: Any) -> tuple[Window, list[PendingCall]]:
    """A window with so many waiting calls, of an executor whose leases take several."""
    window = Window(limit)
    window.note_taking("greedy", many=True)
    calls = [make_call(number, **changes) for number in range(1, count + 1)]
    for call in calls:
        window.add(call)
    return window, calls


def numbers(batches: list[Batch]) -> list[int]:
    return [call.number for batch in batches for call in batch.calls]


def learn_short(window: Window, function: tuple[bytes, bytes] = FUNCTION) -> None:
    for _ in range(TELLING_CALLS + 1):
        window.learned.add(function[0], 1e-6, 1e-6)


# Sending --------------------------------------------------------------------------------------


def test_calls_go_in_the_order_in_which_they_came() -> None:
    """``max_workers=1`` is how programs say "one after the other"."""
    window, _ = filled(5)

    assert numbers(window.take_ready(1, NOW)) == [1, 2, 3, 4, 5]
    assert window.take_ready(1, NOW) == []


def test_calls_beyond_the_window_wait_here() -> None:
    """Here they can be cancelled at once, and reordered."""
    window, calls = filled(10, limit=2)

    assert numbers(window.take_ready(1, NOW)) == [1, 2]
    assert window.counts() == (8, 2, 0)
    window.settle(2)
    assert numbers(window.take_ready(1, NOW)) == [3]
    assert [call.state for call in calls[:2]] == [CallState.SENT, CallState.SETTLED]


def test_when_leases_know_that_calls_last_the_next_ones_are_sent_ahead() -> None:
    """Then each takes one at a time, and finds another when it ends."""
    window, _ = filled(10, limit=2)
    in_flight = []
    window.note_taking("other", many=True)
    for lease in ("greedy", "other", "other"):
        window.take_ready(2, NOW)
        in_flight.append(window.in_flight)
        window.note_taking(lease, many=False)

    assert in_flight == [2, 2, 4]


def test_calls_of_unknown_length_travel_alone() -> None:
    """One of them may take an hour, and those behind it would too."""
    window, _ = filled(3)

    assert [len(batch.calls) for batch in window.take_ready(1, NOW)] == [1, 1, 1]


def test_short_calls_travel_together() -> None:
    """A trip costs more than they do."""
    window, _ = filled(200)
    learn_short(window)

    batches = window.take_ready(2, NOW)

    assert numbers(batches) == list(range(1, 201))
    assert len(batches) < 50


@pytest.mark.parametrize(("limit", "silent"), [(2, 31), (4, 31), (40, 40), (1000, 255)])
def test_the_first_calls_that_end_do_not_tell_that_none_waits(limit: int, silent: int) -> None:
    """Of two that meet the second one returns at once. While the first ones still wait, as many as
    may run together, their function looks as if it did nothing; packed together they would hang.
    And some few meet at the same moment, and return at once both."""
    window, _ = filled(4000, limit=limit)

    for _ in range(silent):
        window.learned.add(FUNCTION[0], 1e-6, 1e-6)
    assert {len(batch.calls) for batch in window.take_ready(2, NOW)} == {1}

    window.learned.add(FUNCTION[0], 1e-6, 1e-6)
    assert max(len(batch.calls) for batch in window.take_ready(2, NOW)) > 1


def test_a_function_that_waited_once_is_not_taken_for_one_that_never_does() -> None:
    """Not as soon as that one call weighs little: the others may have met at the same moment."""
    window, _ = filled(4000, limit=2)
    learn_short(window)

    window.learned.add(FUNCTION[0], 0.01, 1e-6)
    for _ in range(31):
        window.learned.add(FUNCTION[0], 1e-4, 1e-4)
        assert {len(batch.calls) for batch in window.take_ready(2, NOW)} <= {1}

    window.learned.add(FUNCTION[0], 1e-4, 1e-4)
    assert max(len(batch.calls) for batch in window.take_ready(2, NOW)) > 1


def test_calls_say_what_is_known_of_their_function() -> None:
    """A lease that has just come knows nothing; and what is known changes."""
    window, _ = filled(3, limit=1)

    def flags_of_next() -> int:
        ((call,),) = [batch.calls for batch in window.take_ready(1, NOW)]
        window.settle(call.number)
        return call.flags

    assert flags_of_next() == CallFlag.NONE
    for _ in range(40):
        window.learned.add(FUNCTION[0], 0.05, 0.0001)
    assert flags_of_next() == CallFlag.WAITS
    for _ in range(20):
        window.learned.add(FUNCTION[0], 0.05, 0.05)
    assert flags_of_next() == CallFlag.NONE


@pytest.mark.parametrize(
    "odd",
    [
        {"function": OTHER},
        {"queue": "elsewhere"},
        {"payload": bytes(ALONE_BYTES + 1)},
        {"flags": CallFlag.SUSPECT},
    ],
    ids=["function", "queue", "size", "suspect"],
)
def test_what_does_not_fit_travels_apart(odd: dict[str, Any]) -> None:
    """Another stream, another length, a long transfer, a call that may kill its worker."""
    window = Window(100)
    for number in range(1, 42):
        window.add(make_call(number, **(odd if number == 21 else {})))
    learn_short(window)
    learn_short(window, OTHER)

    batches = window.take_ready(1, NOW)

    assert numbers(batches) == list(range(1, 42))
    assert [numbers([batch]) for batch in batches if 21 in numbers([batch])] == [[21]]


def test_entries_of_each_queue_count_up() -> None:
    """The server drops what is not above the last."""
    window = Window(100)
    for number, queue in enumerate("aabab", start=1):
        window.add(make_call(number, queue=queue))

    sent = [(batch.queue, batch.entry) for batch in window.take_ready(1, NOW)]

    assert sent == [("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2)]


@pytest.mark.parametrize(("limit", "sent"), [(1, [1]), (4, [1, 2, 4]), (100, [1, 2, 4, 8, 16, 32])])
def test_the_first_calls_of_a_burst_are_sent_by_who_submits_them(
    limit: int, sent: list[int]
) -> None:
    """It has the interpreter's lock, for which the dispatcher waits: in a few pieces, until as many
    are in flight as may run."""
    window = Window(limit)

    told = []
    for number in range(1, 64):
        if window.add(make_call(number)):
            told.append(number)
            window.take_ready(1, NOW)

    assert told == sent


def test_the_higher_goes_first_and_equals_keep_their_order() -> None:
    """Order is decided here, where calls wait."""
    window = Window(100)
    for number, priority in enumerate((5, 1, 9, 5, 9, 1), start=1):
        window.add(make_call(number, priority=priority))

    assert numbers(window.take_ready(1, NOW)) == [3, 5, 1, 4, 2, 6]


def test_one_queue_that_is_full_does_not_stop_the_others() -> None:
    """Nobody may serve it; and its calls may be the most urgent ones."""
    window = Window(1)
    for number in range(1, 5):
        window.add(make_call(number, queue="deserted", priority=9))
    window.add(make_call(5, queue="served"))

    assert numbers(window.take_ready(1, NOW)) == [1, 2, 5]


def test_calls_choose_their_queue_when_they_go() -> None:
    """As late as can be; and again when they come back, unless they run."""
    queues = iter("aabbb")

    def choose(*_: object) -> tuple[Estimate, ...]:
        queue = next(queues)
        return (Estimate(queue=queue, wait=0.0, run=1.0, fetch=0.0, slowdown=1.0),)

    window = Window(2, choose)
    for number in range(1, 4):
        call = make_call(number)
        call.place = Place(("a", "b"))
        window.add(call)
    assert window.queues() == set(), "nobody is asked before it is known who"

    sent = [(batch.queue, numbers([batch])) for batch in window.take_ready(2, now=1.0)]
    window.start(1)
    asked: list[tuple[str, tuple[str, ...], float]] = []
    entries = window.movable(lambda *about: not asked.append(about))  # type: ignore[func-returns-value]
    window.take_back(entries)

    assert sent == [("a", [1]), ("a", [2]), ("b", [3])]
    assert sorted(asked) == [("a", ("a", "b"), 1.0), ("b", ("a", "b"), 1.0)]
    assert entries == [("a", 2), ("b", 1)]
    assert [(b.queue, numbers([b])) for b in window.take_ready(2, now=2.0)] == [
        ("b", [2]),
        ("b", [3]),
    ]
    assert window.queues() == {"a", "b"}
    assert window.sent_to("b") == window.backlog_of("b") == 2


def test_urgent_calls_overtake_what_was_sent_and_nobody_took() -> None:
    """They start within one call: once the entries of others are back, they are the next."""
    window, _ = filled(6, limit=2)
    window.note_taking("greedy", many=False)
    window.take_ready(2, NOW)
    window.start(1)
    window.start(2)
    assert window.entries_to_overtake(2, NOW) == []

    window.add(make_call(7, priority=9))
    entries = window.entries_to_overtake(2, NOW)
    again = window.entries_to_overtake(2, NOW)
    window.take_back(entries[1:])

    assert (entries, again) == ([("q", 3), ("q", 4)], []), "what was not recalled is taken"
    assert numbers(window.take_ready(2, NOW)) == [7]
    assert window.entries_to_overtake(2, NOW) == []


def test_short_calls_are_not_overtaken_once_they_are_sent() -> None:
    """Thousands of them are: sent again for each urgent call they would be all that is done."""
    window, _ = filled(100)
    learn_short(window)
    window.take_ready(1, NOW)
    window.add(make_call(101, priority=9, function=OTHER))

    assert window.entries_to_overtake(1, NOW) == []


def test_only_the_lower_are_overtaken() -> None:
    """However old a call is, and however long its equals wait: that would never end."""
    window, _ = filled(4, limit=1)
    window.take_ready(1, NOW)
    window.add(make_call(5, priority=3))

    assert window.entries_to_overtake(1, NOW + 1e6) == []


def test_demand_is_as_urgent_as_the_most_urgent_call_that_waits() -> None:
    """Other executors are compared by it."""
    window = Window(1)
    assert window.priority() == 5
    window.add(make_call(1, priority=3))
    assert window.priority() == 3
    window.take_ready(1, NOW)
    assert window.priority() == 3
    window.add(make_call(2, priority=8))
    window.add(make_call(3, priority=1))
    assert window.priority() == 8


# Settling -------------------------------------------------------------------------------------


def test_a_call_settles_once() -> None:
    """Redelivery is normal with at-least-once streams; a future has one outcome."""
    window, calls = filled(1)
    window.take_ready(1, NOW)

    assert window.settle(1) is calls[0]
    assert window.settle(1) is None
    assert window.counts() == (0, 0, 0)


def test_a_late_reply_to_a_call_that_waits_again_settles_it() -> None:
    """Its lease answered before it was buried: what has finished need not run again."""
    window, calls = filled(2)
    window.take_ready(1, NOW)
    window.take_back([("q", 1), ("q", 2)])

    assert window.settle(1) is calls[0]
    assert window.settle(1) is None
    assert numbers(window.take_ready(1, NOW)) == [2]
    assert window.settle(2) is calls[1]
    assert window.counts() == (0, 0, 0)


def test_running_calls_are_counted_until_they_settle() -> None:
    """`statistics()` shows them."""
    window, _ = filled(2)
    window.take_ready(1, NOW)
    window.start(1)
    running = window.counts()
    window.settle(1)

    assert (running, window.counts()) == ((0, 2, 1), (0, 1, 0))
    assert window.start(1) is None


# Coming back ----------------------------------------------------------------------------------


def test_what_comes_back_goes_before_what_waits() -> None:
    """It was submitted earlier."""
    window, _ = filled(6, limit=3)
    window.take_ready(1, NOW)

    back = window.take_back([("q", 3), ("q", 2)])

    assert [call.number for call in back] == [2, 3]
    assert numbers(window.take_ready(1, NOW)) == [2, 3]


def test_what_comes_back_travels_in_a_new_entry() -> None:
    """The old number would be dropped as a replay."""
    window, _ = filled(1)
    window.take_ready(1, NOW)
    window.take_back([("q", 1)])

    (batch,) = window.take_ready(1, NOW)

    assert batch.entry == 2


def test_a_returned_call_waits_again_once() -> None:
    """The lease may say it twice, or its burial may say it as well."""
    window, calls = filled(2)
    window.take_ready(1, NOW)

    assert window.give_back(1, 1) is calls[0]
    assert window.give_back(1, 1) is None
    assert window.take_back([("q", 1)]) == []
    assert numbers(window.take_ready(1, NOW)) == [1]
    assert window.give_back(1, 1) is None, "it travels in another entry by now"


def test_a_returned_call_of_a_batch_leaves_the_others_in_flight() -> None:
    """Two of a batch ran, the third could not start: only that one comes back."""
    window, _ = filled(40)
    learn_short(window)
    batch = window.take_ready(1, NOW)[0]
    assert len(batch.calls) > 2
    first, *others = [call.number for call in batch.calls]

    window.give_back(first, batch.entry)

    assert [c.number for c in window.take_back([("q", batch.entry)])] == others


def test_an_unstarted_call_is_known_to_be_so_after_it_came_back() -> None:
    """It is not charged with its worker's death."""
    window, _ = filled(2)
    window.take_ready(1, NOW)
    window.start(2)

    back = window.take_back([("q", 1), ("q", 2)])

    assert [call.started for call in back] == [False, True]
    window.take_ready(1, NOW)
    assert [call.started for call in back] == [False, False]


# Cancelling -----------------------------------------------------------------------------------


def test_cancelled_calls_are_never_sent() -> None:
    """True means that the call never runs."""
    window, calls = filled(4)

    assert window.cancel(calls[1])
    assert not window.cancel(calls[1])
    assert calls[1].state is CallState.CANCELLED
    assert numbers(window.take_ready(1, NOW)) == [1, 3, 4]
    assert not window.cancel(calls[0])
    assert not calls[1].payload, "its arguments are released at once"


def test_a_recalled_call_is_cancelled_and_its_neighbours_are_not() -> None:
    """They travelled in one entry."""
    window, _ = filled(40)
    learn_short(window)
    batch = window.take_ready(1, NOW)[0]
    victim, *others = batch.calls
    assert others

    with window.held():
        window.take_back(window.entries_to_recall(victim))
        assert window.take_ready(1, NOW) == [], "it left before it could be cancelled"
        assert window.cancel(victim)

    assert numbers(window.take_ready(1, NOW))[: len(others)] == [call.number for call in others]


@pytest.mark.parametrize(("limit", "recalled"), [(1, [1, 2]), (2, [2])])
def test_one_worker_keeps_its_order_through_a_cancel(limit: int, recalled: list[int]) -> None:
    """The neighbours of a cancelled call come back, and must not be overtaken."""
    window, calls = filled(9, limit=limit)
    window.note_taking("greedy", many=False)
    window.take_ready(1, NOW)

    assert [entry for _, entry in window.entries_to_recall(calls[1])] == recalled


def test_many_calls_are_cancelled_in_no_time() -> None:
    """A program gives up a hundred thousand calls: not one search of the line for each."""
    window, calls = filled(50_000, limit=1)
    window.take_ready(1, NOW)
    began = time.perf_counter()

    for call in reversed(calls):
        window.cancel(call)

    assert window.counts().waiting == 0
    assert time.perf_counter() - began < 2
    assert window.take_ready(1, NOW) == []


def test_waiting_calls_are_those_that_may_still_go() -> None:
    """`shutdown(cancel_futures=True)` cancels each of them."""
    window, calls = filled(5, limit=2)
    window.take_ready(1, NOW)
    window.cancel(calls[3])

    assert [call.number for call in window.waiting()] == [3, 5]


def test_draining_settles_everything() -> None:
    """A broken executor owes each future an answer."""
    window, calls = filled(6, limit=1)
    window.take_ready(1, NOW)
    window.cancel(calls[5])

    drained = window.drain()

    assert sorted(call.number for call in drained) == [1, 2, 3, 4, 5]
    assert all(call.state is CallState.SETTLED for call in drained)
    assert window.counts() == (0, 0, 0)
    assert window.settle(1) is None and window.take_ready(1, NOW) == []


def test_removal_is_for_waiting_calls() -> None:
    """A call that was given up and sent again meanwhile gets its answer from its worker."""
    window, calls = filled(1)

    assert window.remove(calls[0])
    assert not window.remove(calls[0])
    window, calls = filled(1)
    window.take_ready(1, NOW)
    assert not window.remove(calls[0])


# Looking --------------------------------------------------------------------------------------


def test_the_oldest_unstarted_call_is_found_wherever_it_is() -> None:
    """Sub-calls are helped, and warnings are given, by its age."""
    window, calls = filled(4, limit=2)
    before = window.oldest_unstarted()
    window.take_ready(1, NOW)
    window.start(1)
    window.start(2)
    window.cancel(calls[2])

    assert (before, window.oldest_unstarted()) == (1.0, 4.0)
    window.cancel(calls[3])
    assert window.oldest_unstarted() is None


def test_queues_are_those_of_unsettled_calls() -> None:
    """Demand is repeated for them."""
    window = Window(1)
    calls = [make_call(number, queue=queue) for number, queue in enumerate("abc")]
    for call in calls:
        window.add(call)
    window.cancel(calls[2])

    assert window.queues() == {"a", "b"}


class WindowMachine(RuleBasedStateMachine):
    """A window against sets: each call is in one place, and settled or cancelled once."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(3)
        learn_short(self.window)
        self.calls: dict[int, PendingCall] = {}
        self.waiting: set[int] = set()
        #: Those of the waiting ones that were sent before.
        self.again: set[int] = set()
        self.sent: dict[int, tuple[str, int]] = {}
        self.over: set[int] = set()
        self.resting: set[int] = set()
        self.numbers = itertools.count(1)

    @rule(queue=st.sampled_from("ab"), short=st.booleans())
    def add(self, queue: str, short: bool) -> None:
        number = next(self.numbers)
        call = make_call(number, queue=queue, function=FUNCTION if short else OTHER)
        self.calls[number] = call
        self.waiting.add(number)
        self.window.add(call)

    @rule(leases=st.integers(0, 3))
    def send(self, leases: int) -> None:
        for batch in self.window.take_ready(leases, NOW):
            assert len({call.function for call in batch.calls}) == 1
            for call in batch.calls:
                self.waiting.remove(call.number)
                self.again.discard(call.number)
                self.sent[call.number] = batch.queue, batch.entry

    def some(self, data: st.DataObject) -> PendingCall | None:
        return data.draw(st.sampled_from(list(self.calls.values()))) if self.calls else None

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        call = self.some(data)
        if call is not None:
            settled = self.window.settle(call.number)
            # A late reply to an earlier sending is as good.
            assert (settled is call) == (call.number in self.sent or call.number in self.again)
            if settled is not None:
                self.sent.pop(call.number, None)
                self.waiting.discard(call.number)
                self.again.discard(call.number)
                self.over.add(call.number)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call = self.some(data)
        if call is not None:
            is_here = call.number in self.waiting | self.resting
            assert self.window.cancel(call) == is_here
            if is_here:
                self.waiting.discard(call.number)
                self.resting.discard(call.number)
                self.again.discard(call.number)
                self.over.add(call.number)

    @rule(data=st.data())
    def rest(self, data: st.DataObject) -> None:
        call = self.some(data)
        if call is not None and call.number in self.waiting:
            assert self.window.remove(call)
            self.window.rest(call, until=float(call.number))
            self.waiting.remove(call.number)
            self.again.discard(call.number)
            self.resting.add(call.number)

    @rule(now=st.integers(0, 40))
    def wake(self, now: int) -> None:
        due = {number for number in self.resting if number <= now}
        assert self.window.wake(float(now))[0] == bool(due)
        self.resting -= due
        self.waiting |= due
        self.again |= due

    @rule(data=st.data(), right=st.booleans())
    def give_back(self, data: st.DataObject, right: bool) -> None:
        call = self.some(data)
        if call is not None:
            entry = call.entry if right else call.entry + 1
            back = self.window.give_back(call.number, entry)
            assert (back is call) == (right and call.number in self.sent)
            if back is not None:
                del self.sent[call.number]
                self.waiting.add(call.number)
                self.again.add(call.number)

    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        call = self.some(data)
        if call is not None:
            key = call.queue, call.entry
            expected = {number for number, where in self.sent.items() if where == key}
            back = self.window.take_back([key])
            for number in expected:
                del self.sent[number]
            assert {each.number for each in back} == expected
            self.waiting |= expected
            self.again |= expected

    @invariant()
    def everything_is_somewhere(self) -> None:
        counts = self.window.counts()
        assert (counts.waiting, counts.sent) == (len(self.waiting), len(self.sent))
        here = [call.number for call in self.window.waiting()]
        assert sorted(here) == sorted(self.waiting | self.resting)
        unsettled = self.waiting | set(self.sent)
        assert self.window.queues() == {self.calls[number].queue for number in unsettled}
        assert set(self.window.entries()) == set(self.sent.values())
        short = [number for number in self.sent if self.calls[number].flags & CallFlag.SHORT]
        assert self.window._flight.short_count == len(short)
        places = {
            CallState.WAITING: self.waiting,
            CallState.SENT: self.sent,
            CallState.RESTING: self.resting,
            CallState.SETTLED: self.over,
            CallState.CANCELLED: self.over,
        }
        assert all(number in places[call.state] for number, call in self.calls.items())


WindowMachine.TestCase.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=40, deadline=None, database=None
)


class TestWindowMachine(WindowMachine.TestCase):  # type: ignore[misc,name-defined]
    """A window never loses a call, and never has it twice."""


@given(st.lists(st.sampled_from(["settle", "cancel", "back"]), min_size=1, max_size=3))
@hypothesis_settings(max_examples=30, deadline=None, database=None)
def test_threads_at_once_agree_on_each_call(plans: list[str]) -> None:
    """Collector, dispatcher and callers use a window at the same time."""
    window, calls = filled(60, limit=15)
    window.take_ready(1, NOW)
    outcomes: list[int] = []

    def work(plan: str) -> None:
        for call in calls:
            if plan == "back":
                window.give_back(call.number, call.entry)
            elif plan == "settle":
                ended = window.settle(call.number) is not None
                outcomes.extend([call.number] * ended)
            else:
                outcomes.extend([call.number] * window.cancel(call))

    threads = [threading.Thread(target=work, args=(plan,)) for plan in set(plans)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(outcomes) == len(set(outcomes))
    counts = window.counts()
    assert len(outcomes) + counts.waiting + counts.sent == len(calls)
