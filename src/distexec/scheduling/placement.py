"""Which queue a call should go to: the one where it is expected to be done first.

::

    nodes' loads ---+
    queues' depths -+--> expected seconds of each queue --> the least; among equals, chance decides
    learned times --+        wait + run x slowdown + fetch

Everything is an estimate, and a wrong one must not run away: more load never makes a queue look
better, queues within some percent of the best share the work, and no estimate is trusted to more
than that.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

#: Seconds that a call is taken to last while nobody knows: most calls that are worth sending do.
UNKNOWN_RUN_SECONDS = 0.1

#: Queues whose expected time is within this factor of the best count as equal: estimates are no
#: better than that, and a crowd that always follows the best one would make it the worst.
EQUAL_WITHIN = 1.2

#: What was sent is sent elsewhere only where it is expected to be done so many times sooner: not
#: back and forth with the noise of the estimates.
MOVING_GAIN = 2.0

#: Share of a node's memory below which it is given no more work: the kernel kills soon.
LEAST_MEMORY_SHARE = 0.05

#: Processors that a crowded machine still has for us, as a share: it never stops quite.
LEAST_PROCESSOR_SHARE = 0.05

#: Seconds of silence after which a node is sent nothing new: three beats. It counts as lost later.
SILENT_SECONDS = 3.0

#: Bytes per second of a payload's way to another machine: a gigabit network, half used.
BYTES_PER_SECOND = 60e6


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A node, as its last report has it."""

    name: str
    slots: int
    #: Slots that serve somebody.
    busy: int
    processors: float
    #: Processors' worth of work by others on its machine.
    foreign_cpu: float = 0.0
    #: Memory that is left, as a share of what it may use.
    memory_share: float = 1.0
    #: Whether it takes new work: not while it drains.
    is_serving: bool = True

    @classmethod
    def of_load(
        cls, name: str, load: Mapping[str, float], *, slots: int, busy: int, is_serving: bool
    ) -> "NodeState":
        """A node that reports such a load: see `distexec.engine.load.Load`."""
        processors = load.get("processors", 1.0)
        limit = load.get("memory_limit", 0)
        return cls(
            name=name,
            slots=slots,
            busy=min(busy, slots),
            processors=processors,
            foreign_cpu=max(0.0, load.get("cpu", 0.0) * processors - load.get("node_cpu", 0.0)),
            memory_share=load.get("memory_available", 0) / limit if limit else 1.0,
            is_serving=is_serving,
        )

    @property
    def takes_work(self) -> bool:
        """Whether a call sent there would be run, and survive."""
        return self.is_serving and self.slots > 0 and self.memory_share >= LEAST_MEMORY_SHARE

    def slowdown(self, cpu_share: float) -> float:
        """By how much longer a call lasts there than on an empty machine: 1 or more.

        Args:
            cpu_share: Processor time over wall time of the calls: those that wait are not slowed.
        """
        least = self.processors * LEAST_PROCESSOR_SHARE
        left = max(self.processors - self.foreign_cpu, least, 1e-3)
        wanted = min(self.busy + 1, self.slots) * cpu_share
        return max(1.0, wanted / left)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """A queue: who serves it, and what waits there."""

    name: str
    nodes: Sequence[NodeState]
    #: Calls that wait for a slot of it.
    waiting: int

    def with_waiting(self, waiting: int) -> "QueueState":
        """The same queue, with so many calls that wait."""
        return replace(self, waiting=waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a call may expect of a queue, and why. Seconds."""

    queue: str
    wait: float
    run: float
    fetch: float
    slowdown: float

    @property
    def total(self) -> float:
        """From now until it is done."""
        return self.wait + self.run + self.fetch


def estimate(
    queue: QueueState,
    *,
    run_seconds: float | None,
    cpu_share: float = 1.0,
    size: int = 0,
) -> Estimate:
    """Say when a call would be done in *queue*.

    Args:
        run_seconds: What the call lasts on an empty machine, as learned.
        cpu_share: Processor time over wall time of the call.
        size: Bytes that must travel for it: not those that the queue's nodes have fetched.
    """
    run = UNKNOWN_RUN_SECONDS if run_seconds is None else run_seconds
    nodes = [node for node in queue.nodes if node.takes_work]
    if not nodes:
        return Estimate(queue=queue.name, wait=math.inf, run=run, fetch=0.0, slowdown=1.0)
    # How many calls of equal length they finish together while one node finishes one alone.
    slowdowns = [node.slowdown(cpu_share) for node in nodes]
    power = sum(node.slots / slow for node, slow in zip(nodes, slowdowns, strict=True))
    free = [max(0, node.slots - node.busy) for node in nodes]
    # A free slot is taken by chance; without one, faster nodes have the next.
    weights = (
        free
        if any(free)
        else [node.slots / slow for node, slow in zip(nodes, slowdowns, strict=True)]
    )
    slowdown = sum(w * slow for w, slow in zip(weights, slowdowns, strict=True)) / sum(weights)
    ahead = queue.waiting - sum(free)
    # Those that run have half of their time behind them, on the average.
    wait = 0.0 if ahead < 0 else (ahead + 0.5) * run / power
    fetch = size / BYTES_PER_SECOND
    return Estimate(queue=queue.name, wait=wait, run=run * slowdown, fetch=fetch, slowdown=slowdown)


def choose(estimates: Iterable[Estimate], chance: random.Random) -> Estimate:
    """The least expected time; among those that are about equal, the better of two by chance.

    Two are enough to keep a crowd of callers from going where all others go
    (M. Mitzenmacher, "The power of two choices in randomized load balancing", 2001).

    Args:
        estimates: At least one.
    """
    ranked = sorted(estimates, key=lambda each: each.total)
    best = ranked[0]
    equals = [each for each in ranked if each.total <= best.total * EQUAL_WITHIN]
    if len(equals) <= 1:
        return best
    return min(chance.sample(equals, 2), key=lambda each: each.total)


def is_worth_moving(here: Estimate, elsewhere: Iterable[Estimate], *, waited: float = 0.0) -> bool:
    """Whether calls that nobody has taken should rather be in one of the other queues.

    Args:
        waited: Seconds since they were sent here. The estimate may be wrong: where another queue
            has a free slot, calls that waited for long are better off there.
    """
    best = min(elsewhere, key=lambda each: each.total, default=None)
    if best is None:
        return False
    patience = here.total if best.wait else max(here.total, waited)
    return best.total * MOVING_GAIN < patience
