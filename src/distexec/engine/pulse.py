"""Whether a node's main thread still works: Celery can block in it for ever while the heart beats.

Seen when a child dies in the very moment in which Celery connects to its broker again: the thread
waits for a message of the dead child, and the node looks alive and takes nothing more.
"""

from collections.abc import Callable


class Pulse:
    """Asks the main thread for a sign at each beat, and tells when none comes.

    Args:
        ask: Makes the main thread call `answer`, some time.
        patience: Seconds without an answer after which the thread counts as stuck.
    """

    def __init__(self, ask: Callable[[], None], patience: float) -> None:
        self._ask, self._patience = ask, patience
        self._asked_at: float | None = None
        self._looked_at = float("-inf")

    def answer(self) -> None:
        """Say that the main thread works; called in it."""
        self._asked_at = None

    def is_stuck(self, now: float) -> bool:
        """Ask, unless the last question is open; return whether it has been for too long.

        Called after each beat that the server heard. A longer break (the server was away, or the
        whole machine slept) proves nothing: the thread gets all of its time again.
        """
        was_away = now - self._looked_at > self._patience / 2
        self._looked_at = now
        if self._asked_at is None or was_away:
            self._asked_at = now
            self._ask()
        return now - self._asked_at > self._patience if self._asked_at is not None else False
