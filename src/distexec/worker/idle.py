"""The runners of a lease that have no call: each sleeps until there is something for it."""

import threading


class Idle:
    """Where runners without a call wait. Guarded by the lease's lock.

    They are woken one by one: each that finds nothing to do has taken the interpreter from a call.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._main, self._extra = threading.Condition(lock), threading.Condition(lock)
        #: Whether the main thread waits. It goes before the others.
        self.has_main = False

    def wait(self, seconds: float, *, is_main: bool) -> None:
        """Sleep until woken, as the main thread or as another one."""
        if not is_main:
            self._extra.wait(seconds)
            return
        self.has_main = True
        try:
            self._main.wait(seconds)
        finally:
            self.has_main = False

    def wake(self, most: int) -> None:
        """Wake so many at most."""
        if self.has_main and most > 0:
            self._main.notify()
            most -= 1
        if most > 0:
            self._extra.notify(most)

    def wake_all(self) -> None:
        """Wake every one."""
        self._main.notify_all()
        self._extra.notify_all()
