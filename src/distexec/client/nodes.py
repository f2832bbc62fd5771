"""Nodes as a caller sees them: what each says of itself in its record."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from distexec.errors import DistexecError
from distexec.store.port import NodeStatus
from distexec.wire import places
from distexec.wire.compression import Codec
from distexec.wire.seal import Direction, Seal


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a node says of itself."""

    name: str
    #: Nothing is said in a record that cannot be read.
    host: str = ""
    python: str = ""
    wire: int = 0
    #: Identifies the secret that it signs with.
    key: str = ""
    #: The best compression that it has.
    codec: Codec = Codec.ZLIB
    #: The server's clock at the last beat.
    beat_at: float = 0.0
    #: Whether it signed what follows with our secret.
    is_known: bool = False
    queues: tuple[str, ...] = ()
    #: Where it takes wake-ups from, without a password; empty for the cluster's own server.
    broker: str = ""
    slots: int = 0
    #: Slots that serve an executor.
    busy: int = 0
    #: Whether it takes new work: not while it drains.
    is_serving: bool = False
    children: frozenset[int] = frozenset()
    #: As `distexec.engine.load.Load` has it; empty if the node does not tell.
    load: Mapping[str, float] = field(default_factory=dict)


def read_node(status: NodeStatus, seal: Seal) -> Node | None:
    """Read a node's record; ``None`` if it is none."""
    public, _, sealed = status.frame.partition(b"\n")
    try:
        fields = json.loads(public)
        node = Node(
            name=status.name,
            host=str(fields["host"]),
            python=str(fields["python"]),
            wire=int(fields["wire"]),
            key=str(fields["key"]),
            codec=Codec(fields.get("codec", Codec.ZLIB)),
            beat_at=status.beat_at,
        )
    except (ValueError, KeyError, TypeError):
        return None
    try:
        inner = json.loads(bytes(seal.open(Direction.CONTROL, places.node(status.name), sealed)))
    except (DistexecError, ValueError):
        return node
    return replace(
        node,
        is_known=True,
        queues=tuple(inner["queues"]),
        broker=str(inner.get("broker", "")),
        slots=int(inner["slots"]),
        busy=int(inner.get("busy", 0)),
        is_serving=inner.get("state") == "serving",
        children=frozenset(inner["children"]),
        load=dict(inner.get("load", {})),
    )
