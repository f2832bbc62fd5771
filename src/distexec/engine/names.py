"""A node's name is its own: two nodes of one name would bury each other's living processes.

Each beat says which processes live; with two that say it in turns, callers see those of the one
vanish when the other speaks, and move calls that run.
"""

import json
import time

from distexec.engine.membership import Membership
from distexec.errors import ClusterRefused, ClusterUnavailable
from distexec.store.link import Link
from distexec.store.node_records import read_nodes
from distexec.store.port import NodeStatus

#: Seconds between two looks whether a node of the same name beats.
_LOOK_SECONDS = 0.1


def refuse_second(membership: Membership, name: str) -> None:
    """Make sure that no living node has *name*; waits until the record of a dead one expired.

    Two that start in the same moment are not seen. A server that is away is none of our business:
    the node itself waits for it.

    Raises:
        ClusterRefused: There is one, and it beats.
    """
    link = Link(membership.endpoint, membership.settings)
    try:
        first = _find(link, name)
        deadline = time.monotonic() + 2 * membership.settings.node_expiry_seconds
        while first is not None and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            now = _find(link, name)
            if now is None:
                return
            if now.beat_at != first.beat_at:
                raise ClusterRefused(
                    f"a node {name!r} serves this cluster already, on {_host(now)}: give this one "
                    "another --name"
                )
    except ClusterUnavailable:
        return
    finally:
        link.close()


def _find(link: Link, name: str) -> NodeStatus | None:
    return next((status for status in read_nodes(link) if status.name == name), None)


def _host(status: NodeStatus) -> str:
    try:
        return str(json.loads(status.frame.partition(b"\n")[0])["host"])
    except (ValueError, KeyError, TypeError):
        return "a host that its record does not tell"
