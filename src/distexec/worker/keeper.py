"""The thread that looks after a lease while its calls run."""

import threading
from collections.abc import Callable

#: Seconds between two looks, at least: however often calls start, looking costs little.
KEEPER_SECONDS = 0.0025


class Keeper:
    """Calls *look_after* while there is something to look after.

    Args:
        look_after: Does what is due. Returns the seconds until the next look; ``None``: not before
            `wake` is called.
        fail: Gets what *look_after* raised.
    """

    def __init__(
        self, look_after: Callable[[], float | None], fail: Callable[[Exception], None]
    ) -> None:
        self._look_after, self._fail = look_after, fail
        self._busy = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="distexec-keeper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look soon."""
        self._busy.set()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stopping.set()
        self._busy.set()
        self._thread.join()

    def _run(self) -> None:
        pause: float | None = None
        while not self._stopping.is_set():
            self._busy.wait(pause)
            self._busy.clear()
            self._stopping.wait(KEEPER_SECONDS)
            try:
                pause = self._look_after()
            except Exception as error:
                self._fail(error)
