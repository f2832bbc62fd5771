"""How fairly do 200 executors share 1,000 nodes, and how many must a slot look at to decide?

A simulation: the real policy (`scheduling/fairness.py`) decides, and the clock is turned by hand.
Executors come one after the other and want more slots than there are; what each had of the slots
is compared while all of them have work. Beside it, the same without moves: leases keep their slots
until their work is done.

An urgent call comes every tenth of a second, from an executor of its own; it waits for a boundary.
"""

import heapq
import random
import statistics
from collections.abc import Callable
from typing import NamedTuple

from _report import Report, read_options, run

from distexec.scheduling.fairness import MOST_LOOKED_AT, Claimant, Move, Rota

NODES = 1000
SLOTS_OF_NODE = 2
EXECUTORS = 200
#: Leases that each executor could use, and seconds between the first ones' coming.
WANTED = 40
COMING_SECONDS = 0.01
#: Seconds until what executors had is counted, and until the end.
SETTLED_SECONDS, END_SECONDS = 5.0, 10.0
#: Seconds of a change of executors.
CHANGE_SECONDS = 0.005
URGENT_SECONDS = 0.1


class Outcome(NamedTuple):
    """What a simulated run came to."""

    #: Jain's index of what executors had: 1 if all had the same, 1/n if one had everything.
    fairness: float
    #: Share of the slots' time in which calls ran.
    utilisation: float
    #: Executors that a decision looked at; a slot looks at no node but its own.
    looked_at: float
    #: Changes of executors per slot and second.
    changes: float
    #: Milliseconds that urgent calls waited, with mean calls of a second.
    urgent_p95: float


class Simulation:
    """Slots that come to the ends of calls, and ask the policy whom to serve next.

    Args:
        moves: Whether leases move at call boundaries.
    """

    def __init__(self, nodes: int, executors: int, *, moves: bool, seed: int = 1) -> None:
        self._slots = nodes * SLOTS_OF_NODE
        self._moves = moves
        self._chance = random.Random(seed)
        self._rotas = [Rota(random.Random(seed + slot)) for slot in range(self._slots)]
        self._serving: list[int | None] = [None] * self._slots
        self._leases = dict.fromkeys(range(executors), 0)
        self._mean = {each: self._chance.uniform(0.2, 1.8) for each in self._leases}
        #: Executors that have come; those after the first ones are urgent, and want one call.
        self._asking: list[int] = []
        self._executors = executors
        self._seconds = dict.fromkeys(self._leases, 0.0)
        self._busy = 0.0
        self._decisions = self._looks = self._changes = 0
        self._came: dict[int, float] = {}
        self._waits: list[float] = []
        self._order = 0
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    def run(self) -> Outcome:
        """Turn the clock to the end."""
        for executor in range(self._executors):
            self._at(executor * COMING_SECONDS, lambda now, each=executor: self._come(each))
        urgent = self._executors
        while (when := SETTLED_SECONDS + (urgent - self._executors) * URGENT_SECONDS) < END_SECONDS:
            self._at(when, lambda now, each=urgent: self._come(each, now))
            urgent += 1
        for slot in range(self._slots):
            # The first executors find all slots free, and the last find none.
            start = self._executors * COMING_SECONDS * self._chance.random() / 5
            self._at(start, lambda now, slot=slot: self._boundary(slot, now))
        while self._events[0][0] < END_SECONDS:
            now, _, action = heapq.heappop(self._events)
            action(now)
        seconds = list(self._seconds.values())
        time = self._slots * (END_SECONDS - SETTLED_SECONDS)
        return Outcome(
            fairness=sum(seconds) ** 2 / (len(seconds) * sum(each**2 for each in seconds)),
            utilisation=self._busy / time,
            looked_at=self._looks / max(self._decisions, 1),
            changes=self._changes / time,
            urgent_p95=1000 * statistics.quantiles(self._waits, n=20)[18] if self._waits else 0.0,
        )

    def _at(self, when: float, action: Callable[[float], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, action))

    def _come(self, executor: int, now: float | None = None) -> None:
        self._asking.append(executor)
        if now is not None:
            self._leases[executor], self._came[executor] = 0, now

    def _claimant(self, executor: int) -> Claimant:
        is_urgent = executor >= self._executors
        return Claimant(
            name=executor,
            priority=9 if is_urgent else 5,
            leases=self._leases[executor],
            wanted=1 if is_urgent else WANTED,
        )

    def _boundary(self, slot: int, now: float) -> None:
        """A call of this slot has ended, or the slot is free."""
        executor, rota = self._serving[slot], self._rotas[slot]
        if executor is not None and executor >= self._executors:
            self._leave(slot, now)
            executor = None
        count = min(MOST_LOOKED_AT, len(self._asking))
        sample = [self._claimant(each) for each in self._chance.sample(self._asking, count)]
        found: list[Move] = []
        if executor is None:
            found = rota.order(sample, now)
        elif self._moves:
            others = [each for each in sample if each.name != executor]
            found = rota.moves(self._claimant(executor), others, now)
        self._decisions += 1
        self._looks += count
        for move in found:
            other = int(str(move.claimant.name))
            if self._leases[other] < move.most:
                if executor is not None:
                    self._leave(slot, now)
                self._enter(slot, other, now, move)
                now += CHANGE_SECONDS
                break
        self._work(slot, now)

    def _leave(self, slot: int, now: float) -> None:
        executor = self._serving[slot]
        assert executor is not None
        self._rotas[slot].end(now)
        self._leases[executor] -= 1
        if executor >= self._executors:
            self._asking.remove(executor)
        self._serving[slot] = None

    def _enter(self, slot: int, executor: int, now: float, move: Move) -> None:
        self._rotas[slot].begin(executor, now, is_turn=move.is_turn)
        self._leases[executor] += 1
        self._serving[slot] = executor
        if now >= SETTLED_SECONDS:
            self._changes += 1
        if executor in self._came:
            self._waits.append(now - self._came.pop(executor))

    def _work(self, slot: int, now: float) -> None:
        """Run the next call, or look again soon."""
        executor = self._serving[slot]
        if executor is None:
            self._at(now + 0.02, lambda now: self._boundary(slot, now))
            return
        mean = 0.05 if executor >= self._executors else self._mean[executor]
        duration = mean * self._chance.uniform(0.5, 1.5)
        counted = min(now + duration, END_SECONDS) - max(now, SETTLED_SECONDS)
        if counted > 0:
            self._busy += counted
            if executor < self._executors:
                self._seconds[executor] += counted
        self._at(now + duration, lambda now: self._boundary(slot, now))


def main() -> None:
    options = read_options(__doc__, rounds=1)
    nodes, executors = (50, 20) if options.quick else (NODES, EXECUTORS)
    report = Report("sharing", __doc__ or "", "", plot="fairness (Jain)")
    for name, moves in (("slots are shared", True), ("leases keep their slots", False)):
        outcome = Simulation(nodes, executors, moves=moves).run()
        report.add(name, "fairness (Jain)", [outcome.fairness])
        report.add(name, "slots in use, %", [100 * outcome.utilisation])
        report.add(name, "executors looked at per decision", [outcome.looked_at])
        report.add(name, "changes per slot and second", [outcome.changes])
        report.add(name, "urgent p95, ms", [outcome.urgent_p95])
    fairness = report.median("slots are shared", "fairness (Jain)")
    report.target("fairness of equal executors at least", fairness, at_least=0.95)
    report.target(
        "slots in use at least, %",
        report.median("slots are shared", "slots in use, %"),
        at_least=98,
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
