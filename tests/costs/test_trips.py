"""How often a lease goes to the server, counted at its store: what is far away is asked seldom."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from distexec.scheduling.histogram import Histogram
from distexec.settings import Settings
from distexec.store.lease_port import Bid
from distexec.store.memory import MemoryServer
from distexec.store.memory_caller import MemoryCallerStore
from distexec.store.memory_lease import MemoryLeaseStore
from distexec.store.port import ExecutorRef, Held
from distexec.wire import places
from distexec.wire.codec import decode_replies, encode_calls
from distexec.wire.records import CallFlag, Envelope, ExecutorSpec, ReplyKind, Sharing
from distexec.wire.refusals import Refusals
from distexec.wire.seal import Direction, Seal
from distexec.wire.values import FunctionPacker, pack_arguments
from distexec.worker.lease import Lease
from ring import deeds

from .counting import count_functions

QUEUE = "trips"
REF = ExecutorRef("a1b2", "1")
CALLS = 20


class CountingStore:
    """A lease's store in memory, and how often each verb was used."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.used: Counter[str] = Counter()

    def __getattr__(self, verb: str) -> Any:
        self.used[verb] += 1
        return getattr(self._store, verb)


class Service(NamedTuple):
    """What a lease did with the calls that waited for it."""

    #: How often it used each verb of its store.
    used: Counter[str]
    replies: list[ReplyKind]
    #: How many Python functions it ran, the store's and the calls' included.
    functions: int


def serve(
    flags: int, function: Callable[[int], object] = deeds.add_one, packed: int = 1
) -> Service:
    """Let one lease run the calls that wait for it, so many in each entry."""
    server, seal = MemoryServer(), Seal(bytes(32))
    caller, slot = MemoryCallerStore(server, REF.session), MemoryLeaseStore(server, "node", 1)
    caller.open()
    caller.put_spec(REF, b"spec")
    function_id, pickled = FunctionPacker().pack(function)
    entries = []
    for entry, first in enumerate(range(1, CALLS + 1, packed), 1):
        calls = [
            Envelope(number, function_id, 1, flags, pack_arguments((number,), {}))
            for number in range(first, first + packed)
        ]
        place = places.call(*REF, QUEUE, entry)
        entries.append(Held(entry, seal.seal(Direction.CALL, place, encode_calls(calls))))
    place = places.function(*REF, function_id)
    functions = [(function_id, seal.seal(Direction.STORED, place, pickled))]
    caller.put(REF, QUEUE, entries, functions)
    assert slot.admit(Bid(REF, QUEUE, "lease", limit=1, wanted=1))
    store = CountingStore(slot)

    lease = Lease(
        *(store, "lease", REF, QUEUE),
        ExecutorSpec(1, Sharing.NEVER, None, b"", 100, None, None),
        node="node",
        seal=seal,
        settings=Settings(),
        others_wait=lambda: True,
        should_yield=lambda is_free: False,
        refusals=Refusals(),
        tally=Histogram(),
    )
    functions_run = count_functions(lease.run)

    replies = [
        reply.kind
        for frame in caller.collect(0)
        for reply in decode_replies(seal.open(Direction.REPLY, places.reply(REF.session), frame))
    ]
    return Service(store.used, replies, functions_run)


@pytest.mark.parametrize("flags", [CallFlag.NONE, CallFlag.SHORT])
def test_between_two_calls_a_lease_makes_one_trip(flags: int) -> None:
    """Reply, acknowledgement and the next entry: what a call waits for when others wait too."""
    used, replies, _ = serve(flags)

    assert replies.count(ReplyKind.DONE) == CALLS
    # The first look, and the last one, which finds nothing. On a busy machine the keeper may have
    # sent a reply that waited for long, and then there is nothing to exchange.
    assert used["take"] < CALLS / 2
    assert used["take"] + used["exchange"] <= CALLS + 2


def test_short_calls_of_an_entry_share_a_trip() -> None:
    """Those that share an entry: no reply leaves while the next one of them soon ends."""
    services = [serve(CallFlag.SHORT, deeds.compute_a_little, packed=5) for _ in range(3)]

    assert all(service.replies.count(ReplyKind.DONE) == CALLS for service in services)
    # Six of them, and more where others keep the processor for so long that replies would be late.
    trips = [used["take"] + used["exchange"] + used["reply"] for used, _, _ in services]
    assert min(trips) < CALLS / 2


@pytest.mark.parametrize(
    ("flags", "told"), [(CallFlag.NONE, 1), (CallFlag.WAITS, 1), (CallFlag.SHORT, 0)]
)
def test_a_new_lease_tells_that_its_first_call_starts_if_nobody_knows_it(
    flags: int, told: int
) -> None:
    """A trip before the first call, and none where its caller has said that such are short."""
    assert serve(flags).replies.count(ReplyKind.STARTED) == told


@pytest.mark.parametrize(("flags", "most"), [(CallFlag.NONE, 150), (CallFlag.SHORT, 90)])
def test_a_lease_runs_little_python_for_a_call(flags: int, most: int) -> None:
    """Who waits for its slot waits for all of it. Short calls follow one another, and need less."""
    # What a busy machine interrupts looks long, and is taken one at a time; and its keeper counts.
    assert min(serve(flags).functions for _ in range(3)) / CALLS < most
