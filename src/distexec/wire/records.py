"""The records that cross between a caller and its workers.

Named tuples, not dataclasses: four of them are made for every call, and a tuple costs a third.
Where it counts they are made by `record`: the own constructor of each is a Python function.
"""

import enum
from typing import Final, NamedTuple

#: ``record(Kind, fields)`` is ``Kind(*fields)``, in 0.14 us instead of 0.39.
record = tuple.__new__

#: Both sides must agree on it. Raise it whenever the meaning of a byte on the wire changes.
WIRE_VERSION = 2


class CallFlag:
    """How a call wants to be run: bits, as plain integers, since an `enum.IntFlag` costs 1 us."""

    NONE: Final = 0
    #: Held by a lease that died: runs alone, so that it can be blamed or cleared.
    SUSPECT: Final = 1
    #: May share its process with other running calls, on threads.
    THREADS: Final = 2
    #: May not share its process: it gets the child's main thread for itself.
    ALONE: Final = 4
    #: Known to be short, as are its neighbours: leases may take several entries at a time.
    SHORT: Final = 8
    #: Carries inputs of a `map`: a list of argument tuples, each to be given to the function.
    GROUP: Final = 16
    #: Known to wait nearly all of its time: what is learned of it holds for every lease.
    WAITS: Final = 32


class Envelope(NamedTuple):
    """One call on its way to a worker."""

    #: Counts the calls of one session; unique in it.
    number: int
    #: Which of the executor's functions is called: a 16-byte digest of its pickle.
    function_id: bytes
    #: 1 for the first execution.
    attempt: int
    flags: int
    #: Pickled ``(args, kwargs)``, as `distexec.wire.values` wrote it.
    payload: bytes | memoryview
    #: Seconds that an attempt may last, unpickling included; 0 for no limit.
    timeout: float = 0.0


class ReplyKind(enum.IntEnum):
    """What a reply tells about its call."""

    #: Payload: the pickled return value.
    DONE = 1
    #: Payload: the pickled exception.
    FAILED = 2
    #: Taken and not started; to be sent again, uncharged. Payload: the entry, by `pack_entry`.
    RETURNED = 3
    #: Running since some milliseconds. No payload, and not the call's last reply.
    STARTED = 4
    #: As RETURNED, since the worker does not know the function: it must be sent before.
    UNKNOWN_FUNCTION = 5
    #: An initializer failed. Number: the executor's; payload: the pickled exception.
    BROKEN = 6
    #: A logging record of a call. Number 0; payload: JSON.
    LOG = 7
    #: A lease ended with its process. Number 0; payload: JSON ``{executor, lease, story, charged,
    #: overdue}``, the last being the number of the call whose time was over, if that was why.
    LEASE_LOST = 8
    #: From now on this lease takes one entry at a time, or several: it begins with one. Number: the
    #: executor's; payload: the lease.
    TAKES_ONE = 9
    TAKES_MANY = 10
    #: As RETURNED, since the worker does not find a value that the call uses. Payload: the entry,
    #: by `pack_entry`, and the value's name.
    UNKNOWN_BLOB = 11
    #: As DONE, with a large return value. Payload: the reference of the blob that it is.
    STORED = 12
    #: How far a running call has come. Payload: JSON ``[done, total, message]``.
    PROGRESS = 13


class Reply(NamedTuple):
    """What comes back for one call."""

    number: int
    kind: int
    attempt: int
    #: Wall time inside the user's function, by the worker's monotonic clock; for a group of a
    #: map's inputs without the time in which it was kept from the processor.
    run_seconds: float
    #: Time that it computed, or would have if nobody else had wanted the processor.
    cpu_seconds: float
    payload: bytes | memoryview


def pack_entry(entry: int) -> bytes:
    """The payload of a reply that gives a call back: the stream entry that carried it."""
    return entry.to_bytes(8, "little")


def read_entry(payload: bytes | memoryview) -> int:
    """Read what `pack_entry` wrote."""
    return int.from_bytes(payload[:8], "little")


class Sharing(enum.Enum):
    """Whether calls of an executor may run on threads of one process."""

    #: Found out from processor time against wall time.
    LEARNED = "learned"
    #: They may: the caller asked for threads.
    THREADS = "threads"
    #: Never: a process runs one call at a time.
    NEVER = "never"


class Surroundings(NamedTuple):
    """What workers on the caller's own machine take over from it."""

    directory: str
    sys_path: tuple[str, ...]
    variables: dict[str, str]


class ExecutorSpec(NamedTuple):
    """What a lease must know of its executor before the first call."""

    #: Most calls that run at the same time.
    limit: int
    sharing: Sharing
    #: The packed initializer, and its packed arguments.
    initializer: bytes | None
    initargs: bytes
    #: Level of the caller's root logger; records of calls from there up travel back to it.
    log_level: int
    #: ``None`` where nodes keep their own.
    surroundings: Surroundings | None
    #: A child process is replaced after so many calls.
    calls_per_child: int | None
    #: Shown to operators.
    name: str = ""
    #: Compresses replies, where the node has it too: `distexec.wire.compression.Codec`.
    codec: int = 0


class Demand(NamedTuple):
    """What an executor asks of a queue's slots; JSON on the wire."""

    #: Leases that would all have something to do.
    wanted: int
    #: Most calls that run at the same time.
    limit: int
    python: str
    wire: int
    #: The server's clock when it was written: one that is older than a session may be silent is
    #: somebody's recording.
    at: float
    #: For operators: the executor's name, its caller's host and process, calls not settled.
    name: str = ""
    caller: str = ""
    outstanding: int = 0
    #: What compresses the executor's calls: who does not have it cannot serve.
    codec: int = 0
    #: The highest priority among its calls that wait, from 0 to 9, as their caller gave it.
    priority: int = 5
