"""Nodes as anybody on the server sees them: their records, and the way that orders take."""

from typing import Any

from distexec.store import keys
from distexec.store.answers import read_text
from distexec.store.link import Link, ServerError
from distexec.store.port import ExecutorRef, Frame, NodeStatus

#: Seconds that a command for a node is kept.
COMMAND_SECONDS = 60


def read_nodes(link: Link) -> list[NodeStatus]:
    """The nodes that beat."""
    names = [read_text(name) for name in link.call("SMEMBERS", keys.NODE_NAMES)]
    names = [name for name in names if name.isprintable()]
    if not names:
        return []
    answers = link.run(*(("HMGET", keys.node_record(name), "frame", "at") for name in names))
    found = (_read_status(name, answer) for name, answer in zip(names, answers, strict=True))
    return [status for status in found if status is not None]


def send_command(link: Link, node: str, frame: Frame) -> None:
    """Hand *frame* to the node's commands."""
    stream = keys.node_commands(node)
    link.run(
        ("XADD", stream, "MAXLEN", 64, "*", "f", frame),
        ("EXPIRE", stream, COMMAND_SECONDS),
    )


def read_holder(holder: bytes) -> tuple[int, ExecutorRef]:
    """The process that holds a lease, and the executor that it serves, from a node's books.

    Raises:
        ValueError: None of us wrote it.
    """
    child, session, executor = holder.decode().split(" ")
    return int(child), ExecutorRef(session, executor)


def _read_status(name: str, answer: Any) -> NodeStatus | None:
    """Read a node's record: without a frame if it cannot be read, ``None`` if there is none."""
    try:
        if isinstance(answer, ServerError):
            return NodeStatus(name, 0.0, b"")
        frame, at = answer
        return None if frame is None and at is None else NodeStatus(name, float(at), bytes(frame))
    except (ValueError, TypeError):
        return NodeStatus(name, 0.0, b"")
