"""When calls share a process on threads: when all of them only wait."""

from distexec.wire.records import Sharing

#: Seconds without using the processor after which a running call counts as waiting. Where the
#: caller asked for threads the look is shorter: being wrong costs less.
LEARNED_SECONDS = 0.02
THREADS_SECONDS = 0.005

#: Share of a processor that a waiting call may use.
WAITING_SHARE = 0.1


def is_waiting(sharing: Sharing, elapsed: float, cpu: float) -> bool:
    """Whether a call that runs for *elapsed* seconds and used *cpu* of them only waits."""
    if sharing is Sharing.NEVER:
        return False
    patience = THREADS_SECONDS if sharing is Sharing.THREADS else LEARNED_SECONDS
    return elapsed >= patience and cpu < WAITING_SHARE * elapsed


def runners_to_add(running: int, limit: int) -> int:
    """How many threads to add beside *running* calls that all wait: double, up to *limit*.

    Doubling reaches 64 in six looks, and a wrong guess costs one thread, not sixty.
    """
    return max(0, min(running, limit - running))
