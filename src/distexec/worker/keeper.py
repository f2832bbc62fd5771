"""The thread that looks after a lease while its calls run."""

import threading
import time
from collections.abc import Callable
from math import inf

#: Seconds between two looks, at least: however often calls start, looking costs little.
KEEPER_SECONDS = 0.0025

#: Seconds until the next look while one call follows the other, and each look falls between two:
#: after it, the thread must be woken by the next call. A look on a processor that others have used
#: takes a tenth of a millisecond.
LONGEST_PAUSE_SECONDS = 0.02


class Keeper:
    """Looks after a lease while there is something to look after."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        #: Whether something happened since the last look.
        self._noted = False
        #: When it looks next; `inf` where it must be woken, and while it finds out.
        self._next_at = inf
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
        if self._next_at - time.monotonic() > within:
            self._woken.set()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stopping = True
        self._woken.set()
        if self._looker is not None:
            self._looker.join()

    def _run(self, look: Callable[[], float | None], fail: Callable[[Exception], None]) -> None:
        pause: float | None = None
        while True:
            if pause is not None:
                pause = max(pause, KEEPER_SECONDS)
                self._next_at = time.monotonic() + pause
            # Who woke it before that was written has set the event.
            if self._woken.wait(pause):
                self._next_at = 0.0
                self._woken.clear()
                if self._stopping:
                    return
                time.sleep(KEEPER_SECONDS)
            self._next_at = inf
            was_noted, self._noted = self._noted, False
            try:
                pause = look()
            except Exception as error:
                fail(error)
            if was_noted and pause is None:
                pause = LONGEST_PAUSE_SECONDS
