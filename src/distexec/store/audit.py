"""Finds what others wrote over a session's keys, and removes it: calls must not wait for it."""

from collections.abc import Collection, Mapping, Sequence

from distexec.store import keys
from distexec.store.caller_port import Damage
from distexec.store.link import Link, script
from distexec.store.port import ExecutorRef


def audit(
    link: Link,
    session: str,
    streams: Mapping[ExecutorRef, Sequence[str]],
    *,
    outrun: Collection[tuple[ExecutorRef, str]],
    replies_ended: bool,
) -> Damage:
    """Look at every key of *session*.

    Args:
        streams: Its executors, with the queues that each has a call stream for.
        outrun: Call streams with foreign entries whose numbers are not below ours.
        replies_ended: Whether the reply stream has the last entry that it can have.
    """
    # Key, what it must hold, and the executor that needs it.
    wanted: list[tuple[str, str, ExecutorRef]] = []
    for ref, queues in streams.items():
        wanted += [
            (keys.spec(ref), "string", ref),
            (keys.functions(ref), "hash", ref),
            (keys.leases(ref), "hash", ref),
            *((keys.calls(ref, queue), "calls", ref) for queue in queues),
            *((keys.order(ref, queue), "hash", ref) for queue in queues),
        ]
    places = [keys.replies(session), *(key for key, _, _ in wanted)]
    kinds = ["stream", *(kind for _, kind, _ in wanted)]
    replies, *found = link.call(*script("audit").call(places, *kinds))

    told = [f"{keys.calls(ref, queue)}: its numbers are not ours" for ref, queue in outrun]
    orders = {keys.order(ref, queue) for ref, queues in streams.items() for queue in queues}
    rebuild, functions = {ref for ref, _ in outrun}, set()
    for (key, _, ref), state in zip(wanted, found, strict=True):
        if not state:
            continue
        told.append(f"{key}: {state.decode()}")
        if key == keys.functions(ref):
            # Its leases say which ones they miss.
            link.call("DEL", key)
            functions.add(ref)
        elif key in orders:
            link.call("DEL", key)  # Its leases do without, and write it again.
        else:
            rebuild.add(ref)
    lost_replies = bool(replies) or replies_ended
    if lost_replies:
        told.append(f"{keys.replies(session)}: {replies.decode() or 'it takes no more entries'}")
        link.call("DEL", keys.replies(session))
        rebuild.update(streams)  # Nobody knows whose replies were lost.
    return Damage(told, frozenset(rebuild), frozenset(functions - rebuild), lost_replies)
