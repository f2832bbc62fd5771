"""What an executor tells about itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from distexec.client.channel import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """An executor's counts and times since it was made. Times are seconds."""

    #: Calls that wait in this process.
    waiting: int = 0
    #: Calls that were sent and are not settled, running ones included.
    sent: int = 0
    #: Calls that failed, and wait for the time of their next attempt.
    resting: int = 0
    #: Calls that wait for their rate limit, or for a permit.
    limited: int = 0
    #: Calls known to run, since some milliseconds.
    running: int = 0
    #: Calls that returned.
    done: int = 0
    #: Calls that raised, or that could not be run.
    failed: int = 0
    cancelled: int = 0
    #: Times that a worker gave a call back since it could not start it soon.
    returned: int = 0
    #: Times that a call was repeated: its worker was lost, or its options ask for it.
    retried: int = 0
    #: What this process found on the server and put aside: frames and keys that are not of this
    #: cluster, or not for this session.
    refused: int = 0
    #: Bytes of calls and values on their way to nodes; of values that had not to be sent again.
    bytes_sent: int = 0
    bytes_saved: int = 0
    #: Calls that a limit let go so far. Time from submit until then, of the last thousand: median,
    #: and what 95 % stay below.
    limit_waits: int = 0
    limit_wait_p50: float | None = None
    limit_wait_p95: float | None = None
    #: Which of the cluster's figures are too high, so that submitting is slowed down: see
    #: `distexec.scheduling.throttle`. Empty if none.
    throttled: tuple[str, ...] = ()
    #: Slots that serve the executor now.
    leases: int = 0
    #: Queues that unsettled calls are for.
    queues: tuple[str, ...] = ()
    #: Time from submit to start, of the last thousand calls: median, and what 95 % stay below.
    wait_p50: float | None = None
    wait_p95: float | None = None
    #: Time in the function, likewise.
    run_p50: float | None = None
    run_p95: float | None = None


def statistics_of(channel: Channel | None) -> Statistics:
    """The statistics of an executor; without a channel, of one that was never used."""
    if channel is None:
        return Statistics()
    counts, counters = channel.window.counts(), channel.counters
    # Copied at one stroke: the collector adds to them.
    limit_seconds = sorted(channel.window.gates.last_waits())
    waits, runs = sorted(counters.wait_seconds.copy()), sorted(counters.run_seconds.copy())
    return Statistics(
        waiting=counts.waiting,
        sent=counts.sent,
        resting=channel.window.resting,
        running=counts.running,
        done=counters.done,
        failed=counters.failed,
        cancelled=counters.cancelled,
        returned=counters.returned,
        retried=counters.retried,
        refused=channel.session.refusals.count,
        bytes_sent=counters.bytes_sent,
        bytes_saved=counters.bytes_saved,
        limited=len(channel.window.gates),
        limit_waits=channel.window.gates.waits.total,
        limit_wait_p50=_quantile(limit_seconds, 0.5),
        limit_wait_p95=_quantile(limit_seconds, 0.95),
        throttled=channel.session.pressure.reasons,
        leases=channel.leases,
        queues=tuple(sorted(channel.window.queues())),
        wait_p50=_quantile(waits, 0.5),
        wait_p95=_quantile(waits, 0.95),
        run_p50=_quantile(runs, 0.5),
        run_p95=_quantile(runs, 0.95),
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
