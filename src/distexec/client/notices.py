"""What operators tell a session: they write it to the stream of its replies."""

import json
import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from distexec.client.calls import executor_of
from distexec.client.explaining import explain
from distexec.errors import ClusterError, FrameRejected
from distexec.wire import places
from distexec.wire.seal import Direction

if TYPE_CHECKING:
    from distexec.client.session import Session

logger = logging.getLogger(__name__)

#: A notice that took longer than this on its way is somebody's recording of it.
STALE_SECONDS: Final = 60.0


class Notices:
    """Takes notices in on the collector's thread, and obeys them on the dispatcher's."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._lock = threading.Lock()
        self._orders: list[dict[str, Any]] = []
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
        with self._lock:
            self._orders.append(notice)
        session.dispatcher.notify()

    def obey(self) -> None:
        """Do what was told."""
        with self._lock:
            orders, self._orders = self._orders, []
        for order in orders:
            match order:
                case {"do": "purge", "queue": str(queue)}:
                    for channel in self._session.channels():
                        channel.cancel_waiting_for(queue)
                case {"do": "explain", "call": int(number), "answer": str(name)}:
                    self._explain(number, name)
                case _:
                    logger.warning("A notice that this version does not know: %r", order.get("do"))

    def _explain(self, number: int, name: str) -> None:
        """Tell who asks where a call is, and why; nothing if it has ended."""
        session = self._session
        channel = session.channel(str(executor_of(number)))
        call = None if channel is None else channel.window.find(number)
        if channel is None or call is None:
            return
        try:
            text = str(explain(channel, call.future))
            frame = session.seal.seal(Direction.CONTROL, places.answer(name), text.encode())
            session.store.answer(name, frame)
        except (ClusterError, ValueError) as error:  # Or it ended just now.
            logger.debug("Nothing is told of call %d: %s", number, error)
