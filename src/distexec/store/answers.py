"""What the server answers, as values of ours. Anybody may have written what is read."""

from collections.abc import Sequence

from distexec.store.port import ExecutorRef, Frame


def read_time(answer: Sequence[bytes]) -> float:
    """The server's clock in seconds, from what ``TIME`` answers."""
    seconds, microseconds = answer
    return int(seconds) + int(microseconds) / 1e6


def read_text(name: bytes) -> str:
    """*name* as text, from which its bytes can be had again."""
    return name.decode(errors="surrogateescape")


def read_asker(field: bytes) -> tuple[ExecutorRef, bool]:
    """Who asks in this field of a queue's demand, and whether it can be one of us."""
    session, _, executor = read_text(field).partition(" ")
    is_ours = session.isascii() and session.isprintable() and executor.isdecimal()
    return ExecutorRef(session, executor), is_ours


def read_demands(fields: Sequence[bytes]) -> list[tuple[ExecutorRef, Frame]]:
    """Who asks what, in all of a queue's demand; fields that can be none of ours are left out."""
    asking = (
        (read_asker(field), frame) for field, frame in zip(fields[::2], fields[1::2], strict=True)
    )
    return [(ref, frame) for (ref, is_ours), frame in asking if is_ours]


def read_info(answer: bytes) -> dict[str, str]:
    """The server's figures, as ``INFO`` names them."""
    lines = bytes(answer).decode(errors="replace").splitlines()
    return dict(line.partition(":")[::2] for line in lines if ":" in line)
