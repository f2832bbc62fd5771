"""The thread that looks after a lease while its calls run."""

import threading
from collections.abc import Callable

#: Seconds between two looks, at least: however often calls start, looking costs little.
KEEPER_SECONDS = 0.0025

#: Seconds of a pause that nothing needs to cut short: as long as a call may wait unstarted.
LONGEST_PAUSE_SECONDS = 0.005


class Keeper:
    """Looks after a lease while there is something to look after."""

    def __init__(self) -> None:
        self._busy = threading.Event()
        #: Whether something happened since the last look.
        self._noted = False
        #: Whether it must be woken for what happens.
        self._sleeps = True
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, look: Callable[[], float | None], fail: Callable[[Exception], None]) -> None:
        """Start the thread.

        Args:
            look: Does what is due. Returns the seconds until the next look; ``None``: not before
                `wake` is called.
            fail: Gets what *look* raised.
        """
        self._thread = threading.Thread(
            target=self._run, args=(look, fail), name="distexec-keeper", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Look soon. Costs next to nothing while looks follow one another anyway."""
        self._noted = True
        if self._sleeps:
            self._busy.set()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stopping.set()
        self._busy.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, look: Callable[[], float | None], fail: Callable[[Exception], None]) -> None:
        pause: float | None = None
        while not self._stopping.is_set():
            if pause is None or pause > LONGEST_PAUSE_SECONDS:
                self._sleeps = True
                # What is noted from here on sets the event.
                if not self._noted:
                    self._busy.wait(pause)
                self._sleeps = False
                self._busy.clear()
                pause = 0.0
            self._stopping.wait(max(pause, KEEPER_SECONDS))
            was_noted, self._noted = self._noted, False
            try:
                pause = look()
            except Exception as error:
                fail(error)
            if was_noted and pause is None:
                # One short call after the other, and this look fell between two of them.
                pause = LONGEST_PAUSE_SECONDS
