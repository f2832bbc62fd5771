"""A lease in Celery's own books, as its remote control and Flower see it."""

import time
from collections.abc import Mapping
from typing import Any, Final

from celery.worker.request import Request

from distexec.engine import display

#: Seconds after which the same is told again: who begins to listen must not wait for a change.
_TELL_SECONDS: Final = 5.0


class LeaseRequest(Request):
    """Tells whom the lease serves in place of the frame that is its argument."""

    #: What was told last, and when.
    told: Mapping[str, str] = {}
    told_at = 0.0

    def info(self, safe: bool = False) -> Any:
        """As Celery has it, with other arguments."""
        return {**super().info(safe), "args": [], "kwargs": self._does}

    def tell(self) -> None:
        """Send an event if the lease does something else by now, or the last event is old."""
        does, now = self._does, time.monotonic()
        if does and (does != self.told or now - self.told_at > _TELL_SECONDS):
            self.told, self.told_at = does, now
            self.send_event("task-started", args="()", kwargs=repr(does))

    @property
    def _does(self) -> dict[str, str]:
        pid: Any = self.worker_pid  # A number, whatever its stubs say.
        return display.current.describe(pid)
