"""What operators tell a session, and what only looks like it."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from distexec.client.notices import STALE_SECONDS, Notices
from distexec.errors import FrameRejected
from distexec.wire import places
from distexec.wire.seal import Direction, Seal

SEAL, FOREIGN = Seal(b"s" * 32), Seal(b"f" * 32)


@dataclass
class Channel:
    """An executor that notes what it is told to cancel."""

    purged: list[str] = field(default_factory=list)

    def cancel_waiting_for(self, queue: str) -> None:
        self.purged.append(queue)


@dataclass
class Session:
    """As much of a session as notices need; its own thread is the test's."""

    name: str = "mine"
    seal: Seal = SEAL
    server_time: float = 1000.0
    channel: Channel = field(default_factory=Channel)

    @property
    def dispatcher(self) -> "Session":
        return self

    def notify(self) -> None:
        """Nobody sleeps here."""

    def channels(self) -> list[Channel]:
        return [self.channel]


def notice(at: float, session: str = "mine", seal: Seal = SEAL, **order: Any) -> bytes:
    body = json.dumps({"at": at, **order}).encode()
    return seal.seal(Direction.CONTROL, places.notice(session), body)


def test_purge_is_obeyed_once() -> None:
    """A recording of the order must not cancel what is submitted later."""
    session = Session()
    notices = Notices(session)  # type: ignore[arg-type]
    frame = notice(999.0, do="purge", queue="gpu")

    notices.receive(frame)
    with pytest.raises(FrameRejected, match="heard before"):
        notices.receive(frame)
    notices.obey()
    notices.obey()

    assert session.channel.purged == ["gpu"]


@pytest.mark.parametrize(
    "frame",
    [
        notice(1000.0 - STALE_SECONDS - 1, do="purge", queue="gpu"),
        notice(1000.0, "another", do="purge", queue="gpu"),
        notice(1000.0, seal=FOREIGN, do="purge", queue="gpu"),
        SEAL.seal(Direction.REPLY, places.notice("mine"), b"{}"),
        SEAL.seal(Direction.CONTROL, places.notice("mine"), b"no order"),
    ],
    ids=["stale", "for-another", "other-secret", "a-reply", "no-json"],
)
def test_what_is_no_order_of_an_operator_is_refused(frame: bytes) -> None:
    """Whoever can write to the server could cancel everybody's work."""
    session = Session()
    notices = Notices(session)  # type: ignore[arg-type]

    with pytest.raises((FrameRejected, ValueError)):
        notices.receive(frame)
    notices.obey()

    assert session.channel.purged == []


def test_order_of_a_later_version_is_passed_over() -> None:
    """An operator's tool may be newer than a caller."""
    session = Session()
    notices = Notices(session)  # type: ignore[arg-type]

    notices.receive(notice(1000.0, do="dance", queue="gpu"))
    notices.obey()

    assert session.channel.purged == []
