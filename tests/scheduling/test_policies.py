"""The policies decide within bounds, whatever they are told."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.scheduling import batching, run_times, sharing
from distexec.scheduling.batching import (
    calls_in_flight,
    calls_per_entry,
    entries_to_take,
    inputs_per_call,
    is_short,
)
from distexec.scheduling.demand import WakeUps, slots_worth_having
from distexec.scheduling.run_times import MOST_FUNCTIONS, RunTime, RunTimes
from distexec.wire.records import Sharing

#: From a call that does nothing, by a coarse clock, to one that takes a week.
SECONDS = st.one_of(st.just(0.0), st.floats(1e-9, 6e5))
COUNTS = st.integers(0, 100_000)
LEASES = st.integers(0, 500)
LIMITS = st.integers(1, 1000)


@st.composite
def known_run_times(draw: st.DrawFn) -> RunTime:
    mean = draw(SECONDS)
    return RunTime(mean, draw(st.floats(0, 1)) * mean, draw(st.floats(0, 1)) * mean)


RUN_TIMES = st.one_of(st.none(), known_run_times())

# Batching -------------------------------------------------------------------------------------


@given(RUN_TIMES, COUNTS, LEASES)
def test_an_entry_has_a_call_and_not_too_many(
    run_time: RunTime | None, waiting: int, leases: int
) -> None:
    """An empty one would be sent for ever; a large one is a long wait for its last call."""
    packed = calls_per_entry(run_time, waiting, leases)

    assert 1 <= packed <= batching.MOST_PACKED
    if run_time is None:
        assert packed == 1
    elif packed > 1:
        assert packed * run_time.mean <= batching.PACK_SECONDS * (1 + 1e-9)
        assert run_time.careful < batching.SHORT_SECONDS  # Those behind it would be returned.


@given(known_run_times(), st.integers(2, 100_000), LEASES)
def test_packing_leaves_something_for_every_lease(
    run_time: RunTime, waiting: int, leases: int
) -> None:
    """One lease with a full batch, and others with nothing, is slower than no batch at all."""
    packed = calls_per_entry(run_time, waiting, leases)

    assert packed == 1 or packed * max(leases, 1) <= waiting


@given(SECONDS, SECONDS, COUNTS, LEASES)
def test_slower_calls_are_packed_less(one: float, other: float, waiting: int, leases: int) -> None:
    """A call waits for those that it shares an entry with."""
    short, long = sorted((one, other))

    packed = [calls_per_entry(RunTime(mean, 0.0, mean), waiting, leases) for mean in (short, long)]

    assert packed[0] >= packed[1]


@given(SECONDS, SECONDS, COUNTS, LEASES)
def test_uncertain_calls_are_packed_less(
    mean: float, deviation: float, waiting: int, leases: int
) -> None:
    """Mostly short and sometimes long is the worst neighbour."""
    certain = calls_per_entry(RunTime(mean, 0.0, mean), waiting, leases)

    assert calls_per_entry(RunTime(mean, deviation, mean), waiting, leases) <= certain


@given(known_run_times(), COUNTS, LEASES)
def test_calls_that_wait_are_neither_packed_nor_taken_together(
    run_time: RunTime, waiting: int, leases: int
) -> None:
    """One may wait for its neighbour, which would never start."""
    run_time.cpu_mean = 0.4 * run_time.mean
    if run_time.mean > 0:
        assert calls_per_entry(run_time, waiting, leases) == 1
        assert entries_to_take(run_time, 1.0, 1) == 1


@given(RUN_TIMES, LEASES, LIMITS, st.booleans())
def test_enough_is_in_flight_for_every_worker(
    run_time: RunTime | None, leases: int, limit: int, in_order: bool
) -> None:
    """As many as may run; and when leases know how to take them, the next ones are there too."""
    in_flight = calls_in_flight(run_time, leases, limit, in_order=in_order)

    assert in_flight >= limit
    assert in_flight <= max(2 * limit, batching.MOST_IN_FLIGHT * max(leases, 1))
    if in_order or batching.is_short(run_time):
        assert in_flight >= 2 * limit


@given(SECONDS, SECONDS, LEASES, LEASES, LIMITS, st.booleans())
def test_more_is_in_flight_for_short_calls_and_for_many_leases(
    one: float, other: float, few: int, many: int, limit: int, in_order: bool
) -> None:
    """The window is bounded by work, not by count."""
    short, long = sorted((one, other))
    few, many = sorted((few, many))

    def in_flight(mean: float, leases: int) -> int:
        return calls_in_flight(RunTime(mean, 0.0, mean), leases, limit, in_order=in_order)

    assert in_flight(short, many) >= in_flight(long, many)
    assert in_flight(short, many) >= in_flight(short, few)


@given(RUN_TIMES, st.floats(1, 64), st.integers(0, 64))
def test_a_lease_takes_something_and_not_too_much(
    run_time: RunTime | None, packed: float, runners: int
) -> None:
    """What it takes, no other lease can have, and nobody can cancel."""
    taken = entries_to_take(run_time, packed, runners)

    assert max(1, runners) <= taken <= max(batching.MOST_TAKEN, runners)
    if run_time is None or run_time.mean > batching.TAKE_SECONDS:
        assert taken == max(1, runners)


# Demand ---------------------------------------------------------------------------------------

DEMANDS = st.fixed_dictionaries(
    {
        "outstanding": COUNTS,
        "limit": LIMITS,
        "sharing": st.sampled_from(Sharing),
        "cpu_share": st.one_of(st.none(), st.floats(0, 1)),
        "oldest_wait": SECONDS,
        "slots": st.integers(1, 500),
        "leases": LEASES,
        "threads": st.integers(0, 1000),
    }
)


@given(DEMANDS)
def test_no_more_slots_are_wanted_than_calls_may_run(demand: dict[str, object]) -> None:
    """A slot without a call is a process for nothing; above ``max_workers`` a broken promise."""
    wanted = slots_worth_having(**demand)  # type: ignore[arg-type]

    assert 0 <= wanted <= min(demand["outstanding"], demand["limit"])  # type: ignore[type-var]
    assert (wanted == 0) == (demand["outstanding"] == 0)


@given(DEMANDS, COUNTS)
def test_more_calls_want_no_fewer_slots(demand: dict[str, object], other: int) -> None:
    """A burst must not shrink the cluster."""
    fewer, more = sorted((int(demand["outstanding"]), other))  # type: ignore[call-overload]

    assert slots_worth_having(**{**demand, "outstanding": fewer}) <= slots_worth_having(  # type: ignore[arg-type]
        **{**demand, "outstanding": more}  # type: ignore[arg-type]
    )


@given(DEMANDS)
def test_processes_are_wanted_where_calls_may_not_share(demand: dict[str, object]) -> None:
    """A process pool of four runs four calls, however few slots there are now."""
    wanted = slots_worth_having(**{**demand, "sharing": Sharing.NEVER})  # type: ignore[arg-type]

    assert wanted == min(demand["outstanding"], demand["limit"])  # type: ignore[type-var]


@given(DEMANDS)
def test_calls_that_only_wait_want_no_more_than_there_are_slots(demand: dict[str, object]) -> None:
    """64 sleeping calls share a process; 64 processes would be the wrong answer."""
    threads = slots_worth_having(**{**demand, "sharing": Sharing.THREADS})  # type: ignore[arg-type]
    learned = slots_worth_having(
        **{**demand, "sharing": Sharing.LEARNED, "cpu_share": 0.01}  # type: ignore[arg-type]
    )

    assert max(threads, learned) <= demand["slots"]  # type: ignore[operator]


@given(DEMANDS)
def test_calls_that_compute_get_a_slot_each(demand: dict[str, object]) -> None:
    """They would wait for each other's lock in one process."""
    wanted = slots_worth_having(
        **{**demand, "sharing": Sharing.LEARNED, "cpu_share": 0.99}  # type: ignore[arg-type]
    )

    assert wanted == min(demand["outstanding"], demand["limit"])  # type: ignore[type-var]


@given(COUNTS, COUNTS)
def test_wake_ups_fill_what_is_missing(wanted: int, leases: int) -> None:
    """Each is a Celery message: none too many, and none for what is on its way."""
    wake_ups = WakeUps(0.5)

    first = wake_ups.to_send(wanted=wanted, leases=leases, now=10.0)
    again = wake_ups.to_send(wanted=wanted, leases=leases, now=10.4)

    assert first == max(0, wanted - leases)
    assert again == 0


def test_wake_ups_that_are_being_answered_are_not_repeated() -> None:
    """Ten thousand slots take seconds to come: repeated by the clock, half were woken twice."""
    wake_ups = WakeUps(0.5)

    sent = [
        wake_ups.to_send(wanted=10_000, leases=min(1000 * step, 10_000), now=0.4 * step)
        for step in range(15)
    ]

    assert sent == [10_000] + 14 * [0]


def test_lost_wake_ups_are_repeated() -> None:
    """The broker may lose one; and slots that come and go are no answer to it."""
    wake_ups = WakeUps(0.5)
    wake_ups.to_send(wanted=4, leases=0, now=0.0)

    sent = [
        wake_ups.to_send(wanted=4, leases=leases, now=now)
        for leases, now in ((3, 0.3), (2, 0.5), (3, 0.7), (3, 0.9))
    ]

    assert sent == [0, 0, 0, 1]


def test_repeated_are_those_that_nobody_answered() -> None:
    """Those that still wait at the broker will do then; what is asked for anew is sent."""
    wake_ups = WakeUps(0.5)
    seen = []
    for wanted, leases, now in ((2, 0, 0.0), (4, 0, 0.1), (4, 0, 0.7), (4, 4, 0.8), (4, 3, 0.9)):
        if wake_ups.to_send(wanted=wanted, leases=leases, now=now):
            seen.append((now, wake_ups.is_repeated))

    assert seen == [(0.0, False), (0.1, False), (0.7, True), (0.9, False)]


def test_a_lease_that_left_is_replaced_at_once() -> None:
    """All wake-ups were answered, so none is under way."""
    wake_ups = WakeUps(0.5)
    wake_ups.to_send(wanted=2, leases=0, now=0.0)
    wake_ups.to_send(wanted=2, leases=2, now=0.1)

    assert wake_ups.to_send(wanted=2, leases=1, now=0.2) == 1


# Run times ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=50))
def test_averages_stay_between_what_was_seen(samples: list[tuple[float, float]]) -> None:
    """Whatever a clock says: a processor time above the wall time is rounding, no talent."""
    known = RunTimes()
    for run, cpu in samples:
        known.add(b"f", run, cpu)
    run_time = known.get(b"f")

    assert run_time is not None
    shortest, longest = min(run for run, _ in samples), max(run for run, _ in samples)
    assert shortest * (1 - 1e-9) <= run_time.mean <= longest * (1 + 1e-9)
    assert 0 <= run_time.deviation <= longest * (1 + 1e-9)
    assert 0 <= run_time.cpu_share <= 1
    assert math.isfinite(run_time.careful) and run_time.careful >= run_time.mean


@given(st.floats(0, 3600), st.floats(1e-3, 100))
def test_a_function_that_changes_is_learned_anew(before: float, after: float) -> None:
    """The first call reads a file, the next ones its cache: the past must fade."""
    known = RunTimes()
    known.add(b"f", before, before)
    for _ in range(200):
        known.add(b"f", after, 0.0)
    run_time = known.get(b"f")

    assert run_time is not None
    assert math.isclose(run_time.mean, after, rel_tol=1e-3, abs_tol=1e-3)
    assert run_time.cpu_share < 1e-3


def test_functions_are_learned_apart_and_the_oldest_is_forgotten() -> None:
    """A program that makes a lambda per call would fill the memory of both sides."""
    known = RunTimes()
    for number in range(MOST_FUNCTIONS + 1):
        known.add(number.to_bytes(16, "big"), float(number), 0.0)

    assert known.get((0).to_bytes(16, "big")) is None
    assert known.get((1).to_bytes(16, "big")) == RunTime(1.0, 0.5, 0.0)
    assert known.get(MOST_FUNCTIONS.to_bytes(16, "big")) is not None


def test_nothing_is_known_before_the_first_call() -> None:
    """The policies have an answer for that: one call at a time."""
    assert RunTimes().get(b"f") is None
    assert run_times.WEIGHT < 1


# Sharing --------------------------------------------------------------------------------------


@given(SECONDS, SECONDS)
def test_a_process_pool_never_shares(elapsed: float, cpu: float) -> None:
    """Its functions may count on having the process for themselves."""
    for is_expected in (False, True):
        assert not sharing.is_waiting(Sharing.NEVER, elapsed, cpu, is_expected=is_expected)


@given(st.sampled_from([Sharing.LEARNED, Sharing.THREADS]), SECONDS, st.floats(0.1, 1.0))
def test_a_call_that_computes_does_not_wait(how: Sharing, elapsed: float, share: float) -> None:
    """A second call beside it would make both slower."""
    for is_expected in (False, True):
        assert not sharing.is_waiting(how, elapsed, elapsed * share, is_expected=is_expected)


@given(st.sampled_from([Sharing.LEARNED, Sharing.THREADS]), st.floats(0.02, 1e6))
def test_a_call_that_sleeps_waits(how: Sharing, elapsed: float) -> None:
    """After a moment; and a shorter one where threads were asked for, or its like have waited."""
    assert sharing.is_waiting(how, elapsed, 0.0, is_expected=False)
    short = sharing.THREADS_SECONDS
    assert sharing.is_waiting(Sharing.THREADS, short, 0.0, is_expected=False)
    assert sharing.is_waiting(how, sharing.EXPECTED_SECONDS, 0.0, is_expected=True)
    assert not sharing.is_waiting(Sharing.LEARNED, short, 0.0, is_expected=False)


def test_what_waited_is_expected_to_wait() -> None:
    """And nothing else: neither what computed, nor what was too short to need a thread."""
    assert sharing.usually_waits(RunTime(0.05, 0.0, 0.0001))
    assert not sharing.usually_waits(RunTime(0.05, 0.0, 0.05))
    assert not sharing.usually_waits(RunTime(0.001, 0.0, 0.0))
    assert not sharing.usually_waits(None)
    assert sharing.usually_computes(RunTime(0.05, 0.0, 0.05))
    assert not sharing.usually_computes(RunTime(0.05, 0.0, 0.001))
    assert not sharing.usually_computes(None)


@given(st.integers(0, 2000), LIMITS, st.booleans())
def test_threads_grow_and_never_exceed_the_limit(
    running: int, limit: int, are_expected: bool
) -> None:
    """64 sleeping calls are there after six looks, or two; a wrong guess costs few threads."""
    added = sharing.runners_to_add(running, limit, are_expected=are_expected)

    assert 0 <= added <= (15 if are_expected else 1) * running
    assert added == 0 or running + added <= limit
    assert added or running == 0 or running >= limit


def test_learning_from_many_at_once_is_learning_from_each() -> None:
    """Replies come in hundreds: one look at all of them must tell what a look at each tells."""
    runs = [0.001, 0.002, 0.0015, 0.001] * 10
    one_by_one, together = RunTimes(), RunTimes()
    for times in (one_by_one, together):
        times.add(b"f", 0.05, 0.01)

    for run in runs:
        one_by_one.add(b"f", run, run / 2)
    together.add_all([(b"f", run, run / 2) for run in runs])

    known, expected = together.get(b"f"), one_by_one.get(b"f")
    assert known is not None and expected is not None
    assert known.mean == pytest.approx(expected.mean, rel=0.2)
    assert known.cpu_share == pytest.approx(expected.cpu_share, rel=0.1)


def test_a_function_that_begins_to_wait_is_noticed_at_once() -> None:
    """It may wait for another call, which must not be taken together with it."""
    times = RunTimes()
    times.add_all([(b"f", 1e-5, 1e-5)] * 1000)
    assert is_short(times.get(b"f"))

    times.add(b"f", 0.05, 1e-5)

    assert not is_short(times.get(b"f"))


def test_a_function_that_becomes_slow_is_noticed_soon() -> None:
    """A batch of calls that each last is not short any more, whatever was known of them before."""
    times = RunTimes()
    times.add_all([(b"f", 1e-5, 1e-5)] * 1000)

    for _ in range(6):
        times.add(b"f", 0.05, 0.05)

    assert not is_short(times.get(b"f"))


@pytest.mark.parametrize("together", [False, True])
def test_a_short_call_that_was_kept_from_the_processor_stays_short(together: bool) -> None:
    """On a busy machine that happens all the time, and batching would come and go with it."""
    times = RunTimes()
    times.add_all([(b"f", 1e-5, 1e-5)] * 1000)

    for _ in range(20):
        if together:
            times.add_all([(b"f", 0.01, 0.01), *[(b"f", 1e-5, 1e-5)] * 100])
        else:
            times.add(b"f", 0.01, 0.01)
            for _ in range(100):
                times.add(b"f", 1e-5, 1e-5)

    assert is_short(times.get(b"f"))


def test_one_group_that_was_held_up_is_not_the_last() -> None:
    """Nothing is learned of groups while none is sent."""
    single, held_up = RunTime(1e-5, 0.0, 1e-5), RunTime(1e-3, 1e-3, 1e-5)

    assert inputs_per_call(single, held_up, 1000).inputs > 1
    assert inputs_per_call(held_up, held_up, 1000).inputs == 1


def test_a_guess_is_called_one() -> None:
    """A large map waits a moment for what tells more: a first call, and then a first group."""
    single, slow = RunTime(1e-5, 0.0, 1e-5), RunTime(1.0, 0.0, 1.0)

    assert inputs_per_call(None, None, 1000) == (1, True)
    assert inputs_per_call(single, None, 1000).is_guess
    assert not inputs_per_call(single, single, 1000).is_guess
    assert inputs_per_call(slow, None, 1000) == (1, False)
