"""`Scheduler`: the cluster's own policy for people who send their work themselves."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distexec.client.explaining import told
from distexec.client.history import record_name
from distexec.monitor.observer import Observer
from distexec.monitor.report import ClusterReport
from distexec.scheduling.batching import MOST_GROUPED, inputs_per_call
from distexec.scheduling.placement import (
    UNKNOWN_RUN_SECONDS,
    Estimate,
    QueueState,
    choose,
    estimate,
)
from distexec.scheduling.priorities import Effective, Priority, effective
from distexec.scheduling.run_times import RunTime, RunTimes
from distexec.scheduling.throttle import Throttle, figures_of
from distexec.settings import Settings, variables
from distexec.wire.values import FunctionPacker

if TYPE_CHECKING:
    from distexec.engine.local import LocalCluster

#: Seconds that a look at the cluster is good for: nodes report once in this time.
LOOK_SECONDS = 1.0

#: What work is known by: a name of yours, or a function that executors run as well.
Kind = str | Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A queue for some work; printed, it says why."""

    queue: str
    #: How urgent it is there.
    priority: Effective
    #: What it may expect of each queue, the chosen one first.
    estimates: tuple[Estimate, ...]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"queue {self.queue}, priority {self.priority.value}"
        yield from (f"  {reason}" for reason in self.priority.reasons())
        yield from (f"  {told(each)}" for each in self.estimates)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionReport:
    """How long a function's calls last in a queue, on idle machines."""

    function: str
    queue: str
    run_seconds: float
    #: Processor time over wall time.
    cpu_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStatistics:
    """What a scheduler decides by."""

    #: Nodes, queues and executors.
    cluster: ClusterReport
    functions: tuple[FunctionReport, ...]
    #: Which figures are too high: see `Scheduler.should_throttle`.
    throttled_by: tuple[str, ...]


class Scheduler:
    """Says where work should go, when to hold back, and how much to send at a time.

    It looks at a cluster as executors do, and sends nothing: for programs that publish Celery tasks
    of their own, or choose between several systems. Not thread-safe.

    Example:
        >>> with distexec.Scheduler("redis://host") as scheduler:  # doctest: +SKIP
        ...     if not scheduler.should_throttle():
        ...         resize.apply_async(args, queue=scheduler.select_queue("resize").queue)

    Args:
        cluster: The cluster's URL, or a `LocalCluster`; ``None`` takes the URL in ``DISTEXEC_URL``.

    Raises:
        ValueError: A URL that cannot mean a server, or none at all.
        SecretError: The cluster's secret is there and cannot be used.
    """

    def __init__(self, cluster: "str | LocalCluster | None" = None) -> None:
        named = variables().get("DISTEXEC_URL") if cluster is None else cluster
        url = getattr(named, "url", named)
        if not isinstance(url, str) or "://" not in url:
            raise ValueError(
                f"a Scheduler looks at a server: give its URL or a LocalCluster, not {cluster!r}, "
                "or set DISTEXEC_URL"
            )
        self._observer = Observer(url, Settings.from_environment())
        self._packer = FunctionPacker()
        self._chance = random.Random()
        self._throttle = Throttle()
        self._report: ClusterReport | None = None
        self._looked_at = 0.0
        #: What executors learned, by record; and what `learn` was told.
        self._history: dict[str, tuple[RunTime, str]] = {}
        self._told = RunTimes()
        #: How often each queue was chosen since the last look: that is not in it.
        self._chosen: Counter[str] = Counter()

    def select_queue(
        self,
        kind: Kind,
        *,
        queues: Sequence[str] | None = None,
        size: int = 0,
        priority: int = Priority.MEDIUM,
    ) -> Choice:
        """Choose the queue where work of *kind* is expected to be done first.

        Args:
            queues: Those to choose from; ``None``: all that nodes serve.
            size: Bytes that must travel for it.
            priority: How urgent it is, from 0 to 9.

        Raises:
            ValueError: No queue to choose from.
            ClusterError: The server does not answer.
        """
        report = self._look()
        names = list(queues or (queue.name for queue in report.queues if queue.nodes))
        if not names:
            raise ValueError("there is no queue to choose from: no node serves one")
        estimates = [self._estimate(report, name, self._known(kind, name), size) for name in names]
        best = choose(estimates, self._chance)
        self._chosen[best.queue] += 1
        urgency = effective(
            min(priority, Priority.URGENT),
            waited=0.0,
            backlog_seconds=best.wait,
            run_seconds=best.run,
            size=size,
        )
        others = (each for each in estimates if each is not best)
        return Choice(queue=best.queue, priority=urgency, estimates=(best, *others))

    def learn(self, kind: Kind, queue: str, run_seconds: float, cpu_seconds: float) -> None:
        """Tell how long work of *kind* lasted in *queue*, where no executor ran it."""
        self._told.add(self._key(kind, queue).encode(), run_seconds, cpu_seconds)

    def should_throttle(self) -> bool:
        """Whether the cluster has enough: processors, memory, what waits, or the server's memory.

        It goes on until they are well below their limits again: see `docs/scheduler.md`.

        Raises:
            ClusterError: The server does not answer.
        """
        self._look()
        return bool(self._throttle.reasons)

    def recommended_batch_size(self, kind: Kind) -> int:
        """How many inputs to send together: 1, unless they are known to take no time.

        Raises:
            ClusterError: The server does not answer.
        """
        report = self._look()
        known = [self._known(kind, queue.name) for queue in report.queues]
        slowest = max((each for each in known if each), key=lambda each: each.mean, default=None)
        return inputs_per_call(slowest, slowest, MOST_GROUPED).inputs

    def statistics(self) -> SchedulerStatistics:
        """What is known of the cluster and of functions.

        Raises:
            ClusterError: The server does not answer.
        """
        report = self._look()
        functions = [
            FunctionReport(
                function=label,
                queue=name.partition(":")[2],
                run_seconds=known.mean,
                cpu_share=known.cpu_share,
            )
            for name, (known, label) in sorted(self._history.items())
        ]
        return SchedulerStatistics(
            cluster=report, functions=tuple(functions), throttled_by=self._throttle.reasons
        )

    def close(self) -> None:
        """Close the connection."""
        self._observer.close()

    def __enter__(self) -> "Scheduler":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look(self) -> ClusterReport:
        now = time.monotonic()
        if self._report is None or now - self._looked_at > LOOK_SECONDS:
            self._report, self._history = self._observer.look(), self._observer.history()
            self._looked_at = now
            self._chosen.clear()
            self._throttle.update(self._figures(self._report))
        return self._report

    def _figures(self, report: ClusterReport) -> dict[str, float]:
        longest = 0.0
        for queue in report.queues:
            calls = sum(each.outstanding for each in report.executors if each.queue == queue.name)
            longest = max(longest, calls * self._mean_in(queue.name) / max(queue.slots, 1))
        return figures_of(
            (node.load for node in report.nodes),
            backlog_seconds=longest,
            server_memory=report.memory_used / report.memory_limit if report.memory_limit else 0.0,
        )

    def _mean_in(self, queue: str) -> float:
        """Seconds that calls last in *queue*, as far as anybody knows."""
        means = [
            known.mean for name, (known, _) in self._history.items() if name.endswith(f":{queue}")
        ]
        return sum(means) / len(means) if means else UNKNOWN_RUN_SECONDS

    def _estimate(
        self, report: ClusterReport, queue: str, known: RunTime | None, size: int
    ) -> Estimate:
        nodes = [node for node in report.nodes if queue in node.queues]
        asked = sum(each.outstanding for each in report.executors if each.queue == queue)
        waiting = asked + self._chosen[queue] - sum(node.busy for node in nodes)
        states = tuple(node.to_state() for node in nodes)
        return estimate(
            QueueState(name=queue, nodes=states, waiting=max(0, waiting)),
            run_seconds=None if known is None else known.mean,
            cpu_share=1.0 if known is None else known.cpu_share,
            size=size,
        )

    def _known(self, kind: Kind, queue: str) -> RunTime | None:
        name = self._key(kind, queue)
        recalled = self._history.get(name)
        return self._told.get(name.encode()) or (None if recalled is None else recalled[0])

    def _key(self, kind: Kind, queue: str) -> str:
        if isinstance(kind, str):
            return f"{kind}:{queue}"
        return record_name(self._packer.pack(kind).function_id, queue)
