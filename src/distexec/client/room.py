"""Lets `submit` wait, or refuse, while as many calls wait in the caller as it asked for."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from distexec.errors import WindowFull
from distexec.scheduling.throttle import room_under_pressure

if TYPE_CHECKING:
    from distexec.client.channel import Channel

#: Seconds between two looks of a thread that waits and is not told.
LOOK_SECONDS: Final = 0.5


class Room:
    """The places for waiting calls of one executor. Those in flight are bounded without it.

    Args:
        most: How many calls may wait.
        patience: Seconds that a thread waits for a place; ``None``: for as long as it takes.
    """

    def __init__(self, channel: "Channel", most: int, patience: float | None) -> None:
        self._channel, self._most, self._patience = channel, most, patience
        self._changed = threading.Condition()
        #: Calls that have a place and do not wait there yet.
        self._entering = 0

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Hold a place until the end of the block, in which a call is submitted.

        Does not wait where that would stop what makes room: on a callback thread, or on the thread
        of an event loop. Nor when the executor takes no calls any more: `submit` tells why.

        Raises:
            WindowFull: No place came free in time.
        """
        deadline = None if self._patience is None else time.monotonic() + self._patience
        with self._changed:
            while not (self._has_room() or self._must_not_wait()):
                left = LOOK_SECONDS if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    raise WindowFull(self._complaint())
                self._changed.wait(min(left, LOOK_SECONDS))
            self._entering += 1
        try:
            yield
        finally:
            with self._changed:
                self._entering -= 1

    def notice(self) -> None:
        """Let waiting threads look again."""
        with self._changed:
            self._changed.notify_all()

    def _has_room(self) -> bool:
        channel, window = self._channel, self._channel.window
        if channel.is_closing or channel.broken is not None:
            return True
        most = self._most
        if channel.session.pressure.reasons:
            most = room_under_pressure(most, window.in_flight)
        waiting = window.outstanding - window.in_flight + len(window.gates)
        return waiting + self._entering < most

    def _complaint(self) -> str:
        reasons = self._channel.session.pressure.reasons
        if reasons:
            return (
                f"the cluster is full ({', '.join(reasons)}), and no call was sent within "
                f"{self._patience} s (submit_timeout)"
            )
        return (
            f"{self._most} calls wait already (max_waiting), and none of them was sent within "
            f"{self._patience} s (submit_timeout)"
        )

    def _must_not_wait(self) -> bool:
        asyncio = sys.modules.get("asyncio")  # Nobody runs a loop who did not import it.
        on_loop = asyncio is not None and asyncio._get_running_loop() is not None
        return on_loop or self._channel.session.callbacks.is_mine()
