"""Obeys the signed commands that operators and callers give to a node."""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from distexec.engine import flags
from distexec.engine.membership import Membership
from distexec.errors import FrameRejected
from distexec.store.connect import open_node_store
from distexec.store.port import KeyDamaged
from distexec.wire import places
from distexec.wire.seal import Direction

logger = logging.getLogger(__name__)


class Orders(threading.Thread):
    """Waits for signed commands to the node, and hands them on.

    Args:
        obey: Called in this thread with each command that is signed, for this node, and not stale.
        clock: The server's clock, in seconds.
    """

    #: A command that took longer than this on its way is somebody's recording of it.
    STALE_SECONDS = 60.0

    def __init__(
        self,
        name: str,
        membership: Membership,
        *,
        obey: Callable[[dict[str, Any]], None],
        clock: Callable[[], float],
    ) -> None:
        super().__init__(name="distexec-orders", daemon=True)
        self._node, self._membership = name, membership
        self._obey, self._clock = obey, clock
        self._stopped = threading.Event()
        self._born = time.monotonic()
        #: Commands that were obeyed, and when they were given.
        self._obeyed: dict[bytes, float] = {}

    def stop(self) -> None:
        """Tell the thread to end; it does when its wait for commands returns."""
        self._stopped.set()

    def run(self) -> None:
        """Serve until stopped."""
        store = open_node_store(self._membership.endpoint, self._membership.settings)
        while not self._stopped.is_set():
            try:
                self._judge(store.commands(self._node, timeout=1.0))
            except KeyDamaged:
                self._stopped.wait(self._membership.settings.beat_seconds)  # The heart mends it.
            except Exception as error:
                logger.debug("No commands: %s", error)  # The heart says it aloud.
                self._stopped.wait(1.0)
        store.close()

    def _judge(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            try:
                command = self._open_command(frame)
            except Exception as error:
                flags.refusals.note("A command", error)
            else:
                self._obey(command)

    def _open_command(self, frame: bytes) -> dict[str, Any]:
        """Return the command in *frame* if it is to be obeyed.

        Raises:
            Exception: It is not signed for this node, or is somebody's recording of an order.
        """
        body = self._membership.seal.open(Direction.CONTROL, places.command(self._node), frame)
        command: dict[str, Any] = json.loads(bytes(body))
        at, now = float(command["at"]), self._clock()
        if abs(now - at) > self.STALE_SECONDS:
            raise FrameRejected("age: the order is stale")
        # A node that takes the place of another obeys no order to that one. Its size is its own.
        if command.get("do") != "resize" and at < now - (time.monotonic() - self._born):
            raise FrameRejected("age: the order was given to this node's predecessor")
        self._obeyed = {
            known: given
            for known, given in self._obeyed.items()
            if abs(now - given) <= self.STALE_SECONDS
        }
        if bytes(body) in self._obeyed:
            raise FrameRejected("replay: the order was obeyed before")
        self._obeyed[bytes(body)] = at
        return command
