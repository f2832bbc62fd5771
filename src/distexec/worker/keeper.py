"""The thread that looks after a lease while its calls run."""

import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf

#: Seconds between two looks, at least: however often it is woken, looking costs little.
KEEPER_SECONDS = 0.0002

#: Seconds until the next look while one call follows the other, and each look falls between two:
#: after it, the thread must be woken by the next call. A look on a processor that others have used
#: takes a tenth of a millisecond, and a call that computes is stopped for it.
LONGEST_PAUSE_SECONDS = 0.1


class Keeper:
    """Looks after a lease while there is something to look after."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        #: Whether something happened since the last look.
        self._noted = False
        #: When it looks next; `inf` where it must be woken, and while it looks.
        self._next_at = inf
        #: Earlier times that it was woken for.
        self._wanted: deque[float] = deque()
        #: When it looks again at the earliest.
        self._earliest = 0.0
        self._stopping = False
        self._looker: threading.Thread | None = None

    def start(self, look: Callable[[], float | None], fail: Callable[[Exception], None]) -> None:
        """Start the thread.

        Args:
            look: Does what is due. Returns the seconds until the next look; ``None``: not before
                `wake` is called.
            fail: Gets what *look* raised.
        """
        self._looker = threading.Thread(
            target=self._run, args=(look, fail), name="distexec-keeper", daemon=True
        )
        self._looker.start()

    def wake(self, within: float = 0.0) -> None:
        """Look *within* so many seconds. Costs next to nothing where that is the case anyway."""
        self._noted = True
        at = time.monotonic() + within
        if at < self._next_at:
            self._wanted.append(at)
            self._woken.set()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stopping = True
        self._woken.set()
        if self._looker is not None:
            self._looker.join()

    def _run(self, look: Callable[[], float | None], fail: Callable[[Exception], None]) -> None:
        while self._wait():
            # From here on who wakes it sets the event.
            self._next_at = inf
            was_noted, self._noted = self._noted, False
            pause: float | None = None
            try:
                pause = look()
            except Exception as error:
                fail(error)
            if was_noted and pause is None:
                pause = LONGEST_PAUSE_SECONDS
            looked_at = time.monotonic()
            self._earliest = looked_at + KEEPER_SECONDS
            if pause is not None:
                self._next_at = max(looked_at + pause, self._earliest)

    def _wait(self) -> bool:
        """Wait until it is time to look; False once it is to stop."""
        while True:
            next_at = self._next_at
            left = None if next_at == inf else max(0.0, next_at - time.monotonic())
            if not self._woken.wait(left):
                return True
            self._woken.clear()
            if self._stopping:
                return False
            while self._wanted:
                next_at = min(next_at, self._wanted.popleft())
            self._next_at = max(next_at, self._earliest)
