"""Runs done-callbacks, away from the threads that the ring needs."""

import threading
import time
from collections import deque
from collections.abc import Callable

#: Seconds that a callback may run before the ones behind it get another thread.
PATIENCE_SECONDS = 0.01

#: Seconds after which a callback thread without work ends.
LINGER_SECONDS = 1.0

#: Threads at most: callbacks that block for ever must not fill the process with threads.
MOST_THREADS = 64


class CallbackRunner:
    """A few threads, started when first needed, for callbacks of one session's futures."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        #: By identity, since when each thread is busy; ``None`` while it waits for a job.
        self._threads: dict[int, float | None] = {}
        self._closed = False

    def add(self, job: Callable[[], None]) -> None:
        """Run *job* soon, after those added before it. *job* must not raise."""
        with self._changed:
            self._jobs.append(job)
            if not self._threads:
                self._start_thread()
            self._changed.notify()

    def help_if_stuck(self) -> bool:
        """Start another thread if jobs wait behind one that takes long.

        Returns:
            Whether jobs wait, so that it is worth asking again soon.
        """
        now = time.monotonic()
        with self._changed:
            if not self._jobs:
                return False
            busy = [since for since in self._threads.values() if since is not None]
            stuck = len(busy) == len(self._threads) and all(
                now - since > PATIENCE_SECONDS for since in busy
            )
            if stuck and len(self._threads) < MOST_THREADS:
                self._start_thread()
            return True

    def close(self) -> None:
        """Let the threads end when no job is left."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def is_mine(self) -> bool:
        """Whether the calling thread is one of the callback threads."""
        return threading.get_ident() in self._threads

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="distexec-callbacks", daemon=True)
        thread.start()
        self._threads[thread.ident or 0] = None

    def _run(self) -> None:
        me = threading.get_ident()
        while True:
            with self._changed:
                self._threads[me] = None
                self._changed.wait_for(lambda: self._jobs or self._closed, LINGER_SECONDS)
                if not self._jobs:
                    del self._threads[me]
                    return
                job = self._jobs.popleft()
                self._threads[me] = time.monotonic()
            job()
            del job
