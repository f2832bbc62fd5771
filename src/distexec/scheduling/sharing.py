"""When calls share a process on threads: when all of them only wait."""

from distexec.scheduling.run_times import COMPUTING_SHARE, RunTime
from distexec.wire.records import Sharing

#: Seconds without using the processor after which a running call counts as waiting. Where the
#: caller asked for threads the look is shorter: being wrong costs less. Where others of its
#: function waited it is long enough to see that this one does not compute.
LEARNED_SECONDS = 0.02
THREADS_SECONDS = 0.005
EXPECTED_SECONDS = 0.001

#: Share of a processor that a waiting call may use.
WAITING_SHARE = 0.1


#: By which factor threads grow at a look: 64 are there after six looks, or after two where it is no
#: guess that the calls wait. More at once would leave nothing for leases that are about to come.
GUESSED_GROWTH = 2
EXPECTED_GROWTH = 16


def usually_waits(run_time: RunTime | None) -> bool:
    """Whether calls of a function, as far as that is known, wait nearly all of their time."""
    return (
        run_time is not None
        and run_time.mean > THREADS_SECONDS
        and run_time.cpu_share < WAITING_SHARE
    )


def usually_computes(run_time: RunTime | None) -> bool:
    """Whether calls of a function, as far as that is known, compute most of their time."""
    return run_time is not None and run_time.cpu_share > COMPUTING_SHARE


def is_waiting(sharing: Sharing, elapsed: float, cpu: float, *, is_expected: bool) -> bool:
    """Whether a call that runs for *elapsed* seconds and used *cpu* of them only waits.

    Args:
        is_expected: Whether others of its function did.
    """
    if sharing is Sharing.NEVER:
        return False
    patience = THREADS_SECONDS if sharing is Sharing.THREADS else LEARNED_SECONDS
    patience = EXPECTED_SECONDS if is_expected else patience
    return elapsed >= patience and cpu < WAITING_SHARE * elapsed


def runners_to_add(running: int, limit: int, *, are_expected: bool) -> int:
    """How many threads to add beside *running* calls that all wait.

    Args:
        are_expected: Whether these calls were expected to wait; a wrong guess costs less if not.
    """
    growth = EXPECTED_GROWTH if are_expected else GUESSED_GROWTH
    return max(0, min((growth - 1) * running, limit - running))
