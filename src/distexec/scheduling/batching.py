"""How many calls travel together, how many are in flight, and how many a lease takes.

The tension: batches make tiny calls cheap, and make slow ones wait for each other. So each number
follows from how long calls last, and starts at one while nobody knows.
"""

from typing import NamedTuple

from distexec.scheduling.run_times import COMPUTING_SHARE, GROUP_INPUTS, RunTime

#: Seconds that a call lasts at most to travel with others. Those behind a longer one are returned.
SHORT_SECONDS = 0.005

#: Seconds of work packed into one stream entry, while so much more waits that no lease is free. A
#: trip takes up to 0.4 ms of the processors where calls that last had their caches.
PACK_SECONDS = 0.01

#: Seconds of work that a lease takes at a time: longer saves trips for tiny calls, and leaves less
#: for the other leases at the end of a burst.
TAKE_SECONDS = 0.002

#: Seconds of work in flight for each lease: enough to bridge the caller's busiest moments (a
#: garbage collection, a burst of callbacks), little enough that order and cancelling stay exact.
FLIGHT_SECONDS = 0.05

#: Seconds of work in one group of a `map`'s inputs: a trip takes a tenth of it, and it is the most
#: that the last group of a map may run while the other leases have nothing left.
GROUP_SECONDS = 0.002

#: Inputs in one group at most, whatever their length: bounds what runs again with a lost worker.
MOST_GROUPED = 2048

#: Calls in one stream entry at most, whatever their length: bounds the frames' size.
MOST_PACKED = 64

#: Entries that a lease takes at most at a time.
MOST_TAKEN = 32

#: Calls in flight for each that may run, whatever their length: the next is there when one ends.
LEAST_IN_FLIGHT = 2

#: Calls in flight for each lease at most.
MOST_IN_FLIGHT = 2048


def is_short(run_time: RunTime | None) -> bool:
    """Whether calls may travel, or be taken, several at a time.

    Only calls that compute: one that waits may wait for its neighbour, which would never start.
    """
    if run_time is None:
        return False
    # `careful` and `cpu_share`, spelt out: every call is asked three times.
    mean = run_time.mean
    is_brief = mean + 2 * run_time.deviation < SHORT_SECONDS
    return is_brief and (mean <= 0 or run_time.cpu_mean > COMPUTING_SHARE * mean)


def calls_per_entry(run_time: RunTime | None, waiting: int, leases: int) -> int:
    """How many calls of a function to pack into one stream entry.

    Args:
        run_time: What is known of the next call's function; ``None`` sends it alone.
        waiting: Calls that are ready to go.
        leases: Leases that could take them: each should find an entry.
    """
    if run_time is None or not is_short(run_time):
        return 1
    fitting = int(PACK_SECONDS / max(run_time.mean, 1e-6))
    fair = waiting // (2 * max(leases, 1))
    return max(1, min(fitting, fair, MOST_PACKED))


def calls_in_flight(run_time: RunTime | None, leases: int, limit: int, *, in_order: bool) -> int:
    """How many calls may be sent and unsettled at a time.

    Calls that last are started in the order of their submission, as the standard pools do: they may
    wait for one another. A lease that takes several starts the first, while others start younger
    ones; so until all take one at a time, no more are in flight than can run.

    Args:
        run_time: What is known of the next call's function.
        leases: Leases that take calls now.
        limit: Most calls that run at the same time, on threads of leases included.
        in_order: Whether every lease takes one entry at a time.
    """
    if run_time is None or not is_short(run_time):
        return LEAST_IN_FLIGHT * limit if in_order else limit
    per_lease = int(FLIGHT_SECONDS / max(run_time.mean, 1e-6))
    return max(LEAST_IN_FLIGHT * limit, min(per_lease, MOST_IN_FLIGHT) * max(leases, 1))


def entries_to_take(run_time: RunTime | None, calls_per_entry: float, runners: int) -> int:
    """How many stream entries a lease takes at a time.

    Args:
        run_time: What the lease knows of its last calls, whatever their function.
        calls_per_entry: How many calls its last entries carried.
        runners: Threads of the lease that are free to start a call each.
    """
    if run_time is None or not is_short(run_time):
        return max(1, runners)
    fitting = int(TAKE_SECONDS / max(run_time.mean * calls_per_entry, 1e-6))
    return max(1, runners, min(fitting, MOST_TAKEN))


class GroupSize(NamedTuple):
    """How many inputs of a `map` travel as one call."""

    inputs: int
    #: Whether the next result tells more about it than all before.
    is_guess: bool = False


def inputs_per_call(single: RunTime | None, grouped: RunTime | None, most: int) -> GroupSize:
    """How many inputs of a `map` to send as one call.

    Args:
        single: What is known of the function's calls.
        grouped: What is known of the time for one input of a group. It tells better: a single
            call's time is mostly that of taking it apart and packing its result.
        most: Inputs that leave enough for the other leases.
    """
    if single is None:
        return GroupSize(1, is_guess=True)
    # Where one says that calls are long the other is asked: a group that was held up must not be
    # the last one, since nothing is learned of groups while none is sent.
    known = next((each for each in (grouped, single) if _fits_group(each)), None)
    if known is None:
        return GroupSize(1)
    fitting = int(GROUP_SECONDS / max(known.careful, 1e-7))
    # Shorter groups than an eighth of that even nothing out, and cost more than they carry.
    inputs = max(1, min(fitting, max(most, fitting // 8), MOST_GROUPED))
    if grouped is None:
        # Small ones would teach little. If the guess is wrong most of it is given back.
        return GroupSize(max(inputs, GROUP_INPUTS), is_guess=True)
    return GroupSize(inputs)


def _fits_group(run_time: RunTime | None) -> bool:
    """Whether so short that several make a group."""
    return run_time is not None and is_short(run_time) and run_time.careful < GROUP_SECONDS
