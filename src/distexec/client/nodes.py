"""What each node says of itself in its record, for callers and for who looks at the cluster."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from distexec.errors import DistexecError
from distexec.scheduling.placement import SILENT_SECONDS, NodeState
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
    version: str = ""
    wire: int = 0
    #: Identifies the secret that it signs with.
    key: str = ""
    #: The best compression that it has.
    codec: Codec = Codec.ZLIB
    #: The server's clock at the last beat.
    beat_at: float = 0.0
    #: Why what follows cannot be told, if so.
    problem: str | None = None
    #: Whether it signed what follows with our secret.
    is_known: bool = False
    #: ``serving`` or ``draining``.
    state: str = "unknown"
    pid: int = 0
    queues: tuple[str, ...] = ()
    #: Where it takes wake-ups from, without a password; empty for the cluster's own server.
    broker: str = ""
    slots: int = 0
    #: Slots that serve an executor.
    busy: int = 0
    children: frozenset[int] = frozenset()
    #: Foreign frames and messages that it has put aside.
    refused: int = 0
    #: As `distexec.engine.load.Load` has it; empty if the node does not tell.
    load: Mapping[str, float] = field(default_factory=dict)
    #: Calls that ended lately, and how long they ran.
    rates: Mapping[str, float] = field(default_factory=dict)

    def state_at(self, clock: float) -> NodeState:
        """The node as the scheduler sees it, when the server's clock shows *clock*."""
        is_serving = self.state == "serving" and clock - self.beat_at < SILENT_SECONDS
        return NodeState.of_load(
            self.name, self.load, slots=self.slots, busy=self.busy, is_serving=is_serving
        )


def read_node(status: NodeStatus, seal: Seal | None) -> Node | None:
    """Read a node's record; ``None`` if it is none.

    Args:
        seal: What signs this cluster's records; without one only the public part can be told.
    """
    public, _, sealed = status.frame.partition(b"\n")
    try:
        fields = json.loads(public)
        node = Node(
            name=status.name,
            host=str(fields["host"]),
            python=str(fields["python"]),
            version=str(fields["version"]),
            wire=int(fields["wire"]),
            key=str(fields["key"]),
            codec=Codec(fields.get("codec", Codec.ZLIB)),
            beat_at=status.beat_at,
        )
    except (ValueError, KeyError, TypeError):
        return None
    if seal is None:
        return replace(node, problem=f"signed with secret {node.key}, and none is known here")
    try:
        body = seal.open(Direction.CONTROL, places.node(status.name), sealed)
        inner = json.loads(bytes(body))
        return replace(
            node,
            is_known=True,
            state=str(inner["state"]),
            pid=int(inner["pid"]),
            queues=tuple(inner["queues"]),
            broker=str(inner.get("broker", "")),
            slots=int(inner["slots"]),
            busy=int(inner.get("busy", 0)),
            children=frozenset(inner["children"]),
            refused=int(inner.get("refused", 0)),
            load=dict(inner.get("load", {})),
            rates=dict(inner.get("rates", {})),
        )
    except DistexecError as error:
        return replace(node, problem=f"its record is refused ({error})")
    except (ValueError, KeyError, TypeError):
        return replace(node, problem="its record cannot be read")
