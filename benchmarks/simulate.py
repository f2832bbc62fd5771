"""How close to the ideal does the policy come on 1,000 nodes with 10,000 slots?

A simulation: the real window and the real policy (`client/window.py`, `scheduling/`) decide, and
the clock is turned by hand. What caller, server and slots need for each step is taken from the
other benchmarks. The ideal gives each call to the first slot that is free, all from the start.
"""

import heapq
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from _report import Report, read_options, run
from heavy_tail import ideal

from distexec.client.calls import Batch, PendingCall, Place
from distexec.client.window import Window
from distexec.scheduling.batching import entries_to_take
from distexec.scheduling.demand import WakeUps, slots_worth_having
from distexec.scheduling.run_times import RunTimes
from distexec.wire.records import CallFlag, Sharing

NODES = 1000
SLOTS_OF_NODE = 10

# Seconds of one thread, after latency.py, throughput.py and server.py.
#: The caller seals an entry and writes it, encodes a call into it, settles a call.
CALLER_ENTRY = 20e-6
CALLER_CALL = 5e-6
CALLER_REPLY = 10e-6
#: Its waker publishes a message to the broker.
CALLER_WAKE = 250e-6
#: With each beat the caller reads every node's record, and every lease of its executor.
CALLER_NODE = 30e-6
CALLER_LEASE = 4e-6
#: The server takes an entry and hands it out; takes a reply and acknowledgement, and hands it out.
SERVER_ENTRY = 12e-6
SERVER_REPLY = 20e-6
#: It passes a wake-up on, and looks whether a slot is admitted.
SERVER_WAKE = 100e-6
#: A node's beat.
SERVER_BEAT = 30e-6
#: From a wake-up's arrival to the first look at the stream.
SLOT_START = 5e-3
#: One way between any two machines.
LINK = 200e-6

BEAT_SECONDS = 1.0
REPEAT_SECONDS = 0.5
#: As in the worker's lease: when taken calls are given back, and how long replies gather.
RETURN_AFTER = 0.005
REPLY_DELAY = 0.001

_FUNCTION = (b"function", b"")

#: Shows what learning is worth: with nothing learned, each travels by itself.
TINY = [1e-5] * 5000
_PLACE = Place(("q",))


def scenarios(slots: int) -> dict[str, list[float]]:
    """The seconds of each call, by what they are."""
    chance = random.Random(4)
    tail = [min(chance.lognormvariate(-1.0, 1.4), 20.0) for _ in range(10 * slots)]
    return {
        "10 calls of 1 s for each slot": [1.0] * 10 * slots,
        "20 calls of 0.2 s for each slot": [0.2] * 20 * slots,
        "10 calls for each slot, heavy-tailed": tail,
        "the same, longest last": sorted(tail),
        "1 call of 10 s for each slot": [10.0] * slots,
        "20 calls of 1 ms for each slot": [0.001] * 20 * slots,
    }


class Station:
    """Something that does one thing after the other."""

    def __init__(self) -> None:
        self.free_at = self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Do *seconds* of work as soon as it is free; returns when that is done."""
        self.free_at = max(now, self.free_at) + seconds
        self.busy += seconds
        return self.free_at


class Outcome(NamedTuple):
    """What a simulated run came to."""

    makespan: float
    caller: float
    server: float
    wake_ups: int
    all_slots_at: float
    returned: int
    #: Real processor time of the policy, for each call.
    policy: float


class Simulation:
    """One executor, one server, and the slots.

    Args:
        learns: Whether caller and leases learn how long calls last.
    """

    def __init__(
        self, durations: list[float], nodes: int, slots: int, *, learns: bool = True
    ) -> None:
        self.learns = learns
        self.durations, self.nodes, self.slots = durations, nodes, slots
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self.caller, self.waker, self.server = Station(), Station(), Station()
        self.window = Window(slots)
        self.wake_ups = WakeUps(REPEAT_SECONDS)
        self.stream: deque[Batch] = deque()
        self.idle: deque[Lease] = deque()
        self.leases: list[Lease] = []
        self.known_leases = 0
        self.unsettled = len(durations)
        self.wakes = self.returned = 0
        self.all_slots_at = self.policy = 0.0
        self._dispatching = False

    def run(self) -> Outcome:
        """Submit every call at once, and turn the clock until all are settled."""
        for number in range(len(self.durations)):
            self.window.add(
                PendingCall(
                    number, _FUNCTION, b"", None, place=_PLACE, flags=0, label="", submitted_at=0.0
                )  # type: ignore[arg-type]
            )
        self.at(0.0, self.dispatch)
        self.at(REPEAT_SECONDS, self.beat_caller)
        self.at(BEAT_SECONDS, self.beat_nodes)
        while self.unsettled:
            self.now, _, action, args = heapq.heappop(self._events)
            action(*args)
        share = 100 / self.now
        return Outcome(
            makespan=self.now,
            caller=share * self.caller.busy,
            server=share * self.server.busy,
            wake_ups=self.wakes,
            all_slots_at=self.all_slots_at,
            returned=self.returned,
            policy=1e6 * self.policy / len(self.durations),
        )

    def at(self, when: float, action: Callable[..., object], *args: Any) -> None:
        heapq.heappush(self._events, (when, next(self._order), action, args))

    def use(
        self, station: Station, seconds: float, action: Callable[..., object], *args: Any
    ) -> None:
        """Let a station work from now on, or as soon as it is free, and then go on."""
        self.at(station.serve(self.now, seconds), action, *args)

    # The caller.

    def dispatch(self) -> None:
        """As `Dispatcher._send`: take what may go, put it on the stream, and ask for leases."""
        self._dispatching = False
        started = time.thread_time()
        batches = self.window.take_ready(self.known_leases, self.now)
        self.policy += time.thread_time() - started
        if batches:
            calls = sum(len(batch.calls) for batch in batches)
            sent = self.caller.serve(self.now, CALLER_ENTRY * len(batches) + CALLER_CALL * calls)
            self.at(
                sent + LINK,
                self.use,
                self.server,
                SERVER_ENTRY * len(batches),
                self.arrive,
                batches,
            )
            self.known_leases = len(self.leases)
        self.ask()

    def ask(self) -> None:
        """As `Dispatcher.ask`."""
        wanted = slots_worth_having(
            outstanding=self.window.outstanding,
            limit=self.slots,
            sharing=Sharing.NEVER,
            cpu_share=self.window.learned.cpu_share,
            oldest_wait=0.0,
            slots=self.slots,
            leases=self.known_leases,
            threads=self.known_leases,
        )
        for _ in range(
            self.wake_ups.to_send(wanted=wanted, leases=self.known_leases, now=self.now)
        ):
            self.wakes += 1
            published = self.waker.serve(self.now, CALLER_WAKE)
            self.at(published + LINK, self.wake)

    def beat_caller(self) -> None:
        """As `Warden._beat`."""
        cost = CALLER_NODE * self.nodes + CALLER_LEASE * len(self.leases)
        self.caller.serve(self.now, cost)
        self.known_leases = len(self.leases)
        self.ask()
        self.at(self.now + REPEAT_SECONDS, self.beat_caller)

    def settle(self, lease: "Lease", ended: list[PendingCall], returned: list[PendingCall]) -> None:
        """As the collector: replies came."""
        for call in ended:
            duration = self.durations[call.number]
            self.window.settle(call.number)
            if self.learns:
                self.window.learned.add(_FUNCTION[0], duration, duration)
        for call in returned:
            self.window.give_back(call.number, call.entry)
        self.window.note_taking(str(id(lease)), many=lease.takes_many)
        self.unsettled -= len(ended)
        self.returned += len(returned)
        if self.window.has_waiting and not self._dispatching:
            self._dispatching = True
            self.at(max(self.now, self.caller.free_at), self.dispatch)

    # The server.

    def arrive(self, batches: Iterable[Batch]) -> None:
        self.stream.extend(batches)
        while self.idle and self.stream:
            self.idle.popleft().take()

    def wake(self) -> None:
        """A wake-up reaches the server; the next free slot looks at the demand."""
        looked = self.server.serve(self.now, SERVER_WAKE)
        if len(self.leases) < self.slots:
            lease = Lease(self)
            self.leases.append(lease)
            self.at(looked + LINK + SLOT_START, lease.take)
            if len(self.leases) == self.slots:
                self.all_slots_at = self.now

    def beat_nodes(self) -> None:
        self.server.serve(self.now, SERVER_BEAT * self.nodes)
        self.at(self.now + BEAT_SECONDS, self.beat_nodes)


class Lease:
    """One slot that serves the executor: see `worker/lease.py`."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._run_times = RunTimes()
        self._taken: deque[PendingCall] = deque()
        self._ended: list[PendingCall] = []
        self._since = 0.0
        self._calls_per_entry = 1.0
        self.takes_many = False

    def take(self) -> None:
        """Take entries from the stream, or wait for some."""
        simulation = self._simulation
        if not simulation.stream:
            simulation.idle.append(self)
            return
        known = self._run_times.overall if self.takes_many else None
        for _ in range(entries_to_take(known, self._calls_per_entry, 1)):
            if not simulation.stream:
                break
            calls = simulation.stream.popleft().calls
            self._calls_per_entry += 0.2 * (len(calls) - self._calls_per_entry)
            self.takes_many = all(call.flags & CallFlag.SHORT for call in calls)
            self._taken.extend(calls)
        simulation.at(simulation.now + LINK, self.start)

    def start(self) -> None:
        simulation = self._simulation
        call = self._taken.popleft()
        duration = simulation.durations[call.number]
        if duration > RETURN_AFTER:
            simulation.at(simulation.now + RETURN_AFTER, self.look, call)
        simulation.at(simulation.now + duration, self.finish, call, duration)

    def finish(self, call: PendingCall, duration: float) -> None:
        now = self._simulation.now
        if self._simulation.learns:
            self._run_times.add(_FUNCTION[0], duration, duration)
        if not self._ended:
            self._since = now
        self._ended.append(call)
        if not self._taken:
            self.reply([])
            # The next look at the stream is a trip of its own.
            self._simulation.at(now + LINK, self.take)
            return
        if now - self._since > REPLY_DELAY:
            self.reply([])
        self.start()

    def look(self, call: PendingCall) -> None:
        """As the lease's keeper: tell that a call runs, and return what it holds up."""
        simulation = self._simulation
        returned = list(self._taken)
        self._taken.clear()
        self._send(CALLER_REPLY, simulation.window.start, call.number)
        if returned:
            self.reply(returned)

    def reply(self, returned: list[PendingCall]) -> None:
        simulation = self._simulation
        ended, self._ended = self._ended, []
        cost = CALLER_REPLY * (len(ended) + len(returned))
        self._send(cost, simulation.settle, self, ended, returned)

    def _send(self, cost: float, action: Callable[..., object], *args: Any) -> None:
        """Send something to the caller, by way of the server."""
        simulation = self._simulation

        def collect() -> None:
            simulation.use(simulation.caller, cost, action, *args)

        def pass_on() -> None:
            passed = simulation.server.serve(simulation.now, SERVER_REPLY)
            simulation.at(passed + LINK, collect)

        simulation.at(simulation.now + LINK, pass_on)


def main() -> None:
    options = read_options(__doc__, rounds=1)
    nodes = 20 if options.quick else NODES
    report = Report("simulate", __doc__ or "", "", plot="of the ideal, %")

    def add(name: str, durations: list[float], nodes: int, *, learns: bool = True) -> None:
        slots = nodes * SLOTS_OF_NODE
        outcome = Simulation(durations, nodes, slots, learns=learns).run()
        least = ideal(durations, slots)
        report.add(name, "ideal, s", [least])
        report.add(name, "makespan, s", [outcome.makespan])
        report.add(name, "of the ideal, %", [100 * least / outcome.makespan])
        report.add(name, "all slots at, s", [outcome.all_slots_at])
        report.add(name, "wake-ups", [outcome.wake_ups])
        report.add(name, "returned", [outcome.returned])
        report.add(name, "caller busy, %", [outcome.caller])
        report.add(name, "server busy, %", [outcome.server])
        report.add(name, "policy, µs for each call", [outcome.policy])

    for name, durations in scenarios(nodes * SLOTS_OF_NODE).items():
        add(name, durations, nodes)
    for name, learns in (("learned", True), ("nothing learned", False)):
        add(f"tiny calls on one node, {name}", TINY, nodes=1, learns=learns)
    report.target(
        "tiny calls on one node: the makespan with nothing learned, over learned",
        report.ratio(
            "makespan, s",
            "tiny calls on one node, nothing learned",
            "tiny calls on one node, learned",
        ),
        at_least=1.5,
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
