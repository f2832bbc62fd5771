"""The caller's records of a call: where it is, and what happened to it."""

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from distexec.compiling import mypyc_attr
from distexec.scheduling.placement import Estimate
from distexec.scheduling.priorities import Effective, Priority
from distexec.scheduling.retries import RetryPolicy
from distexec.store.port import ExecutorRef

if TYPE_CHECKING:
    from distexec.client.depot import StoredValue
    from distexec.client.futures import Future
    from distexec.client.gate import Gate


class CallState(enum.Enum):
    """Where a call is, seen from its caller.

    ::

        WAITING --a--> SENT --c--> SETTLED
           |  ^  ^      |
           |  |  +--b---+--f--> RESTING --d--> CANCELLED
           |  +--------g----------+
           +--d--> CANCELLED <--e-- SENT

    a: put on a call stream. b: returned, recalled, or its lease was lost. c: its last reply came.
    d: cancelled before it was sent. e: recalled, and cancelled. f: failed, to be tried again.
    g: its pause is over.

    A call with a rate or concurrency limit is LIMITED each time before it is WAITING: for its turn
    among all callers of the cluster. It can be cancelled there as well.
    """

    LIMITED = "limited"
    WAITING = "waiting"
    SENT = "sent"
    RESTING = "resting"
    SETTLED = "settled"
    CANCELLED = "cancelled"


class RateRule(NamedTuple):
    """So many calls in a time."""

    #: Microseconds from one call to the next.
    interval: int
    #: Shared with all calls that have the same; ``None`` for the function's name.
    key: str | None


class PermitRule(NamedTuple):
    """So many calls together."""

    most: int
    #: As that of a rate, and apart from it.
    key: str | None


class Limits(NamedTuple):
    """What a view asks for its calls beyond running them."""

    #: Seconds that an attempt may last; 0 for no limit.
    timeout: float = 0.0
    #: Whether a call that may have started is never started again.
    at_most_once: bool = False
    #: ``None`` where an exception is the call's outcome at once.
    retry: RetryPolicy | None = None
    #: Whether a call that is given up is kept on the server: ``None`` if not, empty for a new
    #: letter, or the name of the one that it came from.
    dead_letter: str | None = None
    #: How such calls are sent: see `distexec.wire.records.CallFlag`.
    flags: int = 0
    rate: RateRule | None = None
    permit: PermitRule | None = None

    def named(self, name: str) -> "Limits":
        """The same for a function of that *name*, which is the key where none was given."""
        rate, permit = self.rate, self.permit
        if rate is not None and rate.key is None:
            rate = rate._replace(key=name)
        if permit is not None and permit.key is None:
            permit = permit._replace(key=name)
        return self._replace(rate=rate, permit=permit)


NO_LIMITS = Limits()

#: Calls whose times `statistics()` looks back on.
REMEMBERED_CALLS = 1024

#: Functions of one executor that the server keeps. Those in use are sent again when needed.
MOST_FUNCTIONS = 512

#: Bits of a call's number that count the calls of its executor; those above name the executor.
NUMBER_BITS = 40


def numbers_of(ref: ExecutorRef) -> int:
    """Where the numbers of an executor's calls begin: the executor can be read from each."""
    return int(ref.executor) << NUMBER_BITS


def executor_of(number: int) -> int:
    """The executor whose call has that number."""
    return number >> NUMBER_BITS


class Place(NamedTuple):
    """Where a call may go, and how urgent it is. Calls of one place keep their order."""

    #: One, or several to choose from when it is sent.
    queues: tuple[str, ...]
    #: From 0 to 9.
    priority: int = Priority.MEDIUM.value


class CallOptions(NamedTuple):
    """What a view on an executor asks for its calls."""

    place: Place
    #: Shown instead of the function's own name.
    name: str | None = None
    limits: Limits = NO_LIMITS

    @property
    def queue(self) -> str:
        """The queue, or the first of those to choose from."""
        return self.place.queues[0]


class Went(NamedTuple):
    """Where a call went, and what decided: see `PendingCall`."""

    queue: str
    place: Place
    effective: Effective | None = None
    estimates: tuple[Estimate, ...] = ()


# The cycle with its future is cut when that ends (`settling.let_go`), so the garbage collector need
# not look for it: that takes a tenth of the time of a million waiting calls.
@mypyc_attr(acyclic=True)
class PendingCall:
    """A call that is not settled. Guarded by its window's lock."""

    __slots__ = (
        "attempt",
        "effective",
        "entry",
        "estimates",
        "flags",
        "function",
        "future",
        "gate",
        "inputs",
        "label",
        "limits",
        "lost",
        "number",
        "parent",
        "passed",
        "payload",
        "place",
        "queue",
        "started",
        "state",
        "stories",
        "submitted_at",
        "values",
    )

    def __init__(
        self,
        number: int,
        function: tuple[bytes, bytes],
        payload: bytes,
        future: "Future[Any]",
        *,
        place: Place,
        flags: int,
        label: str,
        submitted_at: float,
        parent: str | None = None,
        limits: Limits = NO_LIMITS,
        inputs: int = 1,
        values: "tuple[StoredValue, ...]" = (),
    ) -> None:
        self.number = number
        #: The function's digest and its pickle.
        self.function = function
        self.payload = payload
        #: Large parts of the arguments, which the payload refers to.
        self.values = values
        self.future = future
        self.place = place
        #: The queue that it was sent to, once it was.
        self.queue = place.queues[0]
        #: What its priority had become when it was sent; ``None`` where no other one waited.
        self.effective: Effective | None = None
        #: What it could expect of each queue that it had to choose from; the chosen one first.
        self.estimates: tuple[Estimate, ...] = ()
        self.flags = flags
        #: The function's name, for error messages.
        self.label = label
        self.submitted_at = submitted_at
        #: Id of the call that submitted this one, in a worker.
        self.parent = parent
        self.limits = limits
        #: How many inputs of a `map` it carries.
        self.inputs = inputs
        self.state = CallState.WAITING
        self.attempt = 1
        #: The stream entry that carries it, while it is sent.
        self.entry = 0
        #: Whether a worker said that it runs.
        self.started = False
        #: One line for each attempt that was not the last.
        self.stories: tuple[str, ...] = ()
        #: How many of them ended with their worker.
        self.lost = 0
        #: Where it waits for a limit, and the gates that it passed since it was sent last.
        self.gate: Gate | None = None
        self.passed: tuple[Gate, ...] = ()

    @property
    def has_gates(self) -> bool:
        """Whether it waits for a limit before it is sent."""
        return self.limits.rate is not None or self.limits.permit is not None

    @property
    def is_here(self) -> bool:
        """Whether it waits in this process, for its limit or for its turn."""
        return self.state is CallState.WAITING or self.state is CallState.LIMITED

    def next_attempt(self, story: str) -> None:
        """Count an attempt that did not settle the call, and ended as *story* says."""
        self.stories = (*self.stories, story)
        self.attempt += 1
        self.future.attempts, self.future.history = self.attempt, self.stories

    def went(self) -> Went | Place:
        """What a settled call's future remembers: just its place, if nothing was to be decided."""
        if self.effective is None and not self.estimates:
            return self.place
        return Went(self.queue, self.place, self.effective, self.estimates)

    def drop_payload(self) -> None:
        """Let go of the arguments: the call is settled, or will never run."""
        self.payload, self.values = b"", ()


class Batch(NamedTuple):
    """Calls that travel in one stream entry."""

    queue: str
    entry: int
    calls: list[PendingCall]


def label_of(function: Callable[..., Any]) -> str:
    """A function's name, as a person would write it."""
    wrapped = getattr(function, "func", None)  # functools.partial
    if wrapped is not None and not hasattr(function, "__qualname__"):
        return label_of(wrapped)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if module else str(name)
