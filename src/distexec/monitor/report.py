"""One look at a cluster, as frozen records: nothing here talks to anybody."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from distexec.client.nodes import Node
from distexec.errors import FrameRejected
from distexec.scheduling.placement import SILENT_SECONDS, NodeState
from distexec.store.port import ExecutorRef, NodeLease, NodeStatus
from distexec.wire import places
from distexec.wire.seal import Direction, Seal


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """A node that beats. Shares go from 0 to 1, memory is in bytes."""

    name: str
    #: Seconds since its last beat.
    age: float
    #: ``serving``, ``draining``, or ``unknown`` if its record cannot be read: see *problem*.
    state: str = "unknown"
    problem: str | None = None
    host: str = ""
    pid: int = 0
    queues: tuple[str, ...] = ()
    slots: int = 0
    #: Slots that serve an executor.
    busy: int = 0
    leases: int = 0
    python: str = ""
    version: str = ""
    #: Foreign frames and messages that it has put aside.
    refused: int = 0
    #: As `distexec.engine.load.Load` has it; empty for nodes that do not tell.
    load: Mapping[str, float] = field(default_factory=dict)
    #: Calls that ended lately, and seconds in the function: median, and what 95 % stay below.
    calls_per_second: float | None = None
    run_p50: float | None = None
    run_p95: float | None = None
    #: Leases by executor, as ``SESSION/EXECUTOR``.
    serves: Mapping[str, int] = field(default_factory=dict)

    def to_state(self) -> NodeState:
        """The node as the scheduler sees it."""
        is_serving = self.state == "serving" and self.age < SILENT_SECONDS
        return NodeState.of_load(
            self.name, self.load, slots=self.slots, busy=self.busy, is_serving=is_serving
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorReport:
    """An executor that asks something of a queue."""

    session: str
    executor: str
    queue: str
    name: str
    #: Host and process of the caller.
    caller: str
    #: Leases that would all have something to do.
    wanted: int
    #: Most calls that run at the same time.
    limit: int
    leases: int
    #: Calls that are not settled.
    outstanding: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReport:
    """A queue that nodes serve, or that somebody asks for."""

    name: str
    nodes: int
    slots: int
    free: int
    executors: int
    wanted: int
    leases: int
    #: Calls that are not settled.
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterReport:
    """Everything, at one moment."""

    server: str
    memory_used: int
    #: 0: no limit.
    memory_limit: int
    clients: int
    commands_per_second: int
    nodes: tuple[NodeReport, ...]
    queues: tuple[QueueReport, ...]
    executors: tuple[ExecutorReport, ...]
    #: What could not be read, since others wrote over it.
    problems: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As one JSON object, with the fields' names."""
        return json.dumps(asdict(self), indent=2)


def report_node(
    node: Node | None, status: NodeStatus, now: float, leases: Sequence[NodeLease]
) -> NodeReport:
    """Report of a node by its record.

    Args:
        node: The record; ``None`` if it cannot be read.
        now: The server's clock, in seconds.
        leases: Those that the node holds.
    """
    node = node or Node(name=status.name, problem="its record cannot be read")
    return NodeReport(
        name=node.name,
        age=max(0.0, now - status.beat_at),
        state=node.state,
        problem=node.problem,
        host=node.host,
        pid=node.pid,
        queues=node.queues,
        slots=node.slots,
        busy=len({lease.pid for lease in leases}),
        leases=len(leases),
        python=node.python,
        version=node.version,
        refused=node.refused,
        load=node.load,
        calls_per_second=node.rates.get("calls_per_second"),
        run_p50=node.rates.get("run_p50"),
        run_p95=node.rates.get("run_p95"),
        serves=dict(Counter(f"{ref.session}/{ref.executor}" for _, _, ref in leases)),
    )


def read_demand(
    queue: str, ref: ExecutorRef, frame: bytes, leases: int, seal: Seal | None
) -> ExecutorReport | None:
    """Read what an executor asks of *queue*; ``None`` if that is foreign, or no secret is known."""
    if seal is None:
        return None
    try:
        place = places.demand(queue, ref.session, ref.executor)
        fields = json.loads(bytes(seal.open(Direction.CONTROL, place, frame)))
        return ExecutorReport(
            session=ref.session,
            executor=ref.executor,
            queue=queue,
            name=str(fields.get("name", "")),
            caller=str(fields.get("caller", "")),
            wanted=int(fields["wanted"]),
            limit=int(fields["limit"]),
            leases=leases,
            outstanding=int(fields.get("outstanding", 0)),
        )
    except (FrameRejected, ValueError, KeyError, TypeError):
        return None


def summarise_queues(
    nodes: Iterable[NodeReport], executors: Iterable[ExecutorReport]
) -> tuple[QueueReport, ...]:
    """Sum up by queue. A node's free slots count for each queue that it serves."""
    serving: defaultdict[str, list[NodeReport]] = defaultdict(list)
    asking: defaultdict[str, list[ExecutorReport]] = defaultdict(list)
    for node in nodes:
        for queue in node.queues:
            serving[queue].append(node)
    for executor in executors:
        asking[executor.queue].append(executor)
    return tuple(
        QueueReport(
            name=queue,
            nodes=len(serving[queue]),
            slots=sum(node.slots for node in serving[queue]),
            free=sum(
                max(0, node.slots - node.busy) for node in serving[queue] if node.state == "serving"
            ),
            executors=len(asking[queue]),
            wanted=sum(executor.wanted for executor in asking[queue]),
            leases=sum(executor.leases for executor in asking[queue]),
            depth=sum(executor.outstanding for executor in asking[queue]),
        )
        for queue in sorted({*serving, *asking})
    )
