"""What operators tell a session: they write it to the stream of its replies."""

import json
import threading
from typing import TYPE_CHECKING, Any, Final

from distexec.errors import FrameRejected
from distexec.wire import places
from distexec.wire.seal import Direction

if TYPE_CHECKING:
    from distexec.client.session import Session

#: A notice that took longer than this on its way is somebody's recording of it.
STALE_SECONDS: Final = 60.0


class Notices:
    """Takes notices in on the collector's thread, and obeys them on the dispatcher's."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._lock = threading.Lock()
        self._purged: list[str] = []
        #: Notices that were heard, and when they were given.
        self._heard: dict[bytes, float] = {}

    def receive(self, frame: bytes) -> None:
        """Take a notice in.

        Raises:
            FrameRejected: It is not signed for this session, is stale, or was heard before.
            ValueError: It is none.
        """
        session = self._session
        body = bytes(session.seal.open(Direction.CONTROL, places.notice(session.name), frame))
        notice: dict[str, Any] = json.loads(body)
        at, now = float(notice["at"]), session.server_time
        if abs(now - at) > STALE_SECONDS:
            raise FrameRejected("age: the notice is stale")
        self._heard = {
            known: given for known, given in self._heard.items() if now - given <= STALE_SECONDS
        }
        if body in self._heard:
            raise FrameRejected("replay: the notice was heard before")
        self._heard[body] = at
        if notice.get("do") == "purge":
            with self._lock:
                self._purged.append(str(notice["queue"]))
            session.dispatcher.notify()

    def obey(self) -> None:
        """Do what was told."""
        with self._lock:
            purged, self._purged = self._purged, []
        for queue in purged:
            for channel in self._session.channels():
                channel.cancel_waiting_for(queue)
