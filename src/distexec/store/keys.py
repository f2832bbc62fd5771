"""The map of every key on the server: its type, what is in it, and when it goes.

===================================  ======  ===================================================
key                                  type    content; lifetime
===================================  ======  ===================================================
``dx:{SESSION}:session``             string  counts the beats of a caller that lives;
                                             ``session_expiry_seconds`` after its last beat
``dx:{SESSION}:replies``             stream  sealed replies, ids by the server; trimmed when read
``dx:{SESSION}:blob:NAME``           hash    a large value or result: chunk's number: sealed chunk;
                                             a result ``key_expiry_seconds``
``dx:{SESSION}:answer:NAME``         string  sealed, what an operator asked of the caller; a minute
``dx:{SESSION}:EXECUTOR:spec``       string  sealed `ExecutorSpec`
``dx:{SESSION}:EXECUTOR:functions``  hash    function's digest: its sealed pickle
``dx:{SESSION}:EXECUTOR:leases``     hash    lease: ``threads|pid|admitted|queue|node``
``dx:{SESSION}:EXECUTOR:calls:Q``    stream  sealed batches for queue Q, ids counted by the caller;
                                             group ``leases`` with a consumer for each lease;
                                             an entry goes when its calls are answered
``dx:{SESSION}:EXECUTOR:order:Q``    hash    leases that only take from queue Q's stream by
                                             ``reply.lua``: 1; ``reserved``: lease, entry and when,
                                             in ms; ``free``: lease, and the entry it gave back
``dx:demand:QUEUE``                  hash    ``SESSION EXECUTOR``: sealed `Demand`; a slot removes
                                             those whose session is gone; all of it as a session's
                                             keys, after the last demand
``dx:rate:KEY``                      hash    the next instant of a rate limit, and when somebody
                                             asked last; until that instant and a second
``dx:permits:KEY``                   hash    ``SESSION EXECUTOR``: its permits, their end, and its
                                             place in line; as a session's keys, after the last ask
``dx:{nodes}:names``                 set     names of nodes that beat once
``dx:{nodes}:NODE:record``           hash    ``frame`` and ``at``, the time of the last beat;
                                             ``node_expiry_seconds`` after it
``dx:{nodes}:NODE:leases``           hash    lease: ``pid SESSION EXECUTOR``; as the record
``dx:{nodes}:NODE:commands``         stream  sealed commands; a minute
``dx:{totals}:counts``               hash    what happened to calls: name: count; a week after
                                             the last addition
``dx:{totals}:SOURCE:serial``        string  the last addition of a caller or node;
                                             ``key_expiry_seconds`` after it
``dx:{letters}:times``               zset    dead letter: when it was kept
``dx:{letters}:notes``               hash    dead letter: what it tells of itself, sealed
``dx:{letters}:calls``               hash    dead letter: its call, sealed; all three
                                             ``dead_letter_expiry_seconds`` after the last letter,
                                             older ones with the next
``dx:history``                       hash    ``FUNCTION:QUEUE``: when it was learned, and sealed how
                                             long calls last there; a week after the last was
===================================  ======  ===================================================

Keys of a session live about ``key_expiry_seconds`` after its last beat, or until it closes. All
that one script touches shares a hash tag (in braces), so that a Redis Cluster can hold many
sessions.
"""

from distexec.store.port import ExecutorRef

#: The consumer group of every call stream.
GROUP = "leases"

#: The names of all nodes.
NODE_NAMES = "dx:{nodes}:names"

#: What happened to all calls of the cluster.
TOTALS = "dx:{totals}:counts"

#: The dead letters of the cluster.
LETTER_TIMES = "dx:{letters}:times"
LETTER_NOTES = "dx:{letters}:notes"
LETTER_CALLS = "dx:{letters}:calls"

#: How long calls last, as callers learned it.
HISTORY = "dx:history"

#: What keys begin with that are no session's, and outlive all of them.
OUTLIVING = ("dx:{nodes}:", "dx:{totals}:", "dx:{letters}:", HISTORY)


def serial(source: str) -> str:
    """The last addition of a caller or node to the totals."""
    return f"dx:{{totals}}:{source}:serial"


def session(name: str) -> str:
    """Says that the caller lives."""
    return f"dx:{{{name}}}:session"


def replies(name: str) -> str:
    """The session's reply stream."""
    return f"dx:{{{name}}}:replies"


def blob(name: str, blob_name: bytes) -> str:
    """A large value or result of the session."""
    return f"dx:{{{name}}}:blob:{blob_name.hex()}"


def answer(name: str, answer_name: str) -> str:
    """What the session tells who asked."""
    return f"dx:{{{name}}}:answer:{answer_name}"


def spec(ref: ExecutorRef) -> str:
    """What leases must know of an executor."""
    return f"dx:{{{ref.session}}}:{ref.executor}:spec"


def functions(ref: ExecutorRef) -> str:
    """The executor's functions."""
    return f"dx:{{{ref.session}}}:{ref.executor}:functions"


def leases(ref: ExecutorRef) -> str:
    """The executor's leases."""
    return f"dx:{{{ref.session}}}:{ref.executor}:leases"


def calls(ref: ExecutorRef, queue: str) -> str:
    """The executor's call stream of a queue."""
    return f"dx:{{{ref.session}}}:{ref.executor}:calls:{queue}"


def order(ref: ExecutorRef, queue: str) -> str:
    """Who looks at that stream in turn, and which of its entries is reserved or was given back."""
    return f"dx:{{{ref.session}}}:{ref.executor}:order:{queue}"


def demand(queue: str) -> str:
    """What executors ask of a queue."""
    return f"dx:demand:{queue}"


def rate(key: str) -> str:
    """The state of a rate limit."""
    return f"dx:rate:{key}"


def permits(key: str) -> str:
    """Who holds permits of a limit, and who waits for one."""
    return f"dx:permits:{key}"


def node_record(name: str) -> str:
    """A node's record of itself."""
    return f"dx:{{nodes}}:{name}:record"


def node_leases(name: str) -> str:
    """The leases that a node's children hold."""
    return f"dx:{{nodes}}:{name}:leases"


def node_commands(name: str) -> str:
    """Orders to a node."""
    return f"dx:{{nodes}}:{name}:commands"
