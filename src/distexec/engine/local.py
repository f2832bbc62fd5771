"""The embedded cluster: a private server and one node, which end with the process that owns them.

Nothing here waits for the node: it starts beside the server and finds it by itself.
"""

import atexit
import json
import os
import socket
import threading
import time
import weakref
from collections.abc import Sequence
from types import TracebackType

from distexec.engine.keeper import LONGEST_END_SECONDS, Keeper
from distexec.engine.node_process import usable_processors
from distexec.engine.server import LOG_FILE, greet, last_lines
from distexec.errors import ClusterUnavailable
from distexec.settings import Settings
from distexec.store.endpoint import Endpoint

#: Between two looks at a server that starts; it takes some 40 ms, most of them to measure a clock.
_LOOK_SECONDS = 0.002

_START_SECONDS = 10.0


class LocalCluster:
    """A cluster on this machine, for this program and those that it tells its URL.

    Everything ends with `close`, with the process that made it, however that ends, or when the
    object is forgotten. A forked child may use the cluster and never ends it.

    Args:
        workers: Slots to begin with; ``None``: one for each usable processor. They grow when an
            executor asks for more.
        queues: Names of the queues that the node serves.
    """

    def __init__(
        self, workers: int | None = None, *, queues: Sequence[str] = ("distexec",)
    ) -> None:
        if workers is None:
            workers = usable_processors()
        elif not isinstance(workers, int) or isinstance(workers, bool):
            raise TypeError(f"workers must be an integer or None, not {workers!r}")
        elif workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        if isinstance(queues, str) or not queues:
            raise ValueError(f"queues must be names of queues, as in ['distexec'], not {queues!r}")
        self._owner = os.getpid()
        self._state_lock = threading.Lock()
        self._is_started = self._is_closed = False
        self._server_name: str | None = None
        self._holders = 0
        self._timer: threading.Timer | None = None
        # One at a time sends, or else a smaller number could overtake a larger one.
        self._growing = threading.Lock()
        self._keeper = Keeper(name=f"local@{socket.gethostname()}", queues=queues, slots=workers)
        forgotten = weakref.finalize(self, _let_go, self._keeper, self._owner)
        forgotten.atexit = False  # `_close_all` does it, and waits.
        _clusters.add(self)

    def start(self) -> "LocalCluster":
        """Start the processes, and wait for none of them. Does nothing if they were started.

        Raises:
            ClusterUnavailable: They cannot be started, were lost meanwhile, or were closed.
        """
        if os.getpid() != self._owner:
            # No lock: another thread may have held it when this process was forked.
            if not self._is_started:
                raise ClusterUnavailable("this cluster was not started before the process forked")
            return self
        with self._state_lock:
            if self._keeper.failed is not None:
                raise ClusterUnavailable(self._keeper.failed)
            if self._is_closed:
                raise ClusterUnavailable("the embedded cluster was closed")
            if not self._is_started:
                try:
                    self._keeper.start()
                except BaseException:
                    self._is_closed = True
                    raise
                self._is_started = True
        return self

    def wait_ready(self, timeout: float = _START_SECONDS) -> None:
        """Wait until the server answers. The node comes by itself, calls wait for it.

        Raises:
            ClusterUnavailable: It ended, or did not answer in time; the message has its log.
        """
        folder = self.endpoint.folder
        assert folder is not None
        deadline = time.monotonic() + timeout
        while self._server_name is None:
            if self._keeper.failed is not None:
                raise ClusterUnavailable(self._keeper.failed)
            if self._is_closed:
                raise ClusterUnavailable("the embedded cluster was closed")
            left = deadline - time.monotonic()
            if left <= 0:
                raise ClusterUnavailable(
                    f"the embedded server did not answer within {timeout:g} seconds"
                    + last_lines(folder / LOG_FILE)
                )
            self._server_name = greet(folder, self._keeper.password, timeout=left)
            if self._server_name is None:
                time.sleep(_LOOK_SECONDS)

    def wait(self) -> None:
        """Wait until the cluster has ended."""
        self._keeper.join()

    @property
    def endpoint(self) -> Endpoint:
        """The server's address, password included. Starts the cluster."""
        return self.start()._keeper.endpoint

    @property
    def url(self) -> str:
        """What another program of the same user needs; the secrets lie beside the socket."""
        return self.endpoint.display

    @property
    def secret(self) -> bytes:
        """What signs this cluster's calls and results."""
        return self._keeper.secret

    @property
    def node(self) -> str:
        """The name of the cluster's node."""
        return self._keeper.name

    @property
    def queues(self) -> tuple[str, ...]:
        """Names of the queues that the node serves."""
        return tuple(self._keeper.queues)

    @property
    def slots(self) -> int:
        """How many slots the node has, or will have soon."""
        return self._keeper.slots

    @property
    def failed(self) -> str | None:
        """What happened, once the cluster is lost: its server died, or its node cannot start."""
        return self._keeper.failed

    def grow(self, slots: int, *, again: bool = False) -> None:
        """Have at least so many slots.

        Args:
            again: Order it once more: what was ordered may have been lost.

        Raises:
            ClusterError: The server does not answer.
        """
        with self._growing:
            if slots <= self._keeper.slots and not again:
                return
            slots = self._keeper.slots = max(slots, self._keeper.slots)
            if self._is_started and os.getpid() == self._owner:
                self._command({"do": "resize", "slots": slots})

    def _command(self, command: dict[str, object]) -> None:
        # Imports redis, which the start of a cluster need not wait for.
        from distexec.store.connect import open_caller_store
        from distexec.wire import places
        from distexec.wire.seal import Direction, Seal

        session = f"local-{os.urandom(8).hex()}"
        store = open_caller_store(self.endpoint, session, Settings.from_environment())
        try:
            command["at"] = store.beat([])
            body = json.dumps(command).encode()
            frame = Seal(self.secret).seal(Direction.CONTROL, places.command(self.node), body)
            store.command(self.node, frame)
        finally:
            store.close()

    def close(self) -> None:
        """End all processes and remove the folder. May be called again, and from any thread."""
        if os.getpid() != self._owner:
            return
        # No lock: what waits for `start` may be what this is to end.
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._keeper.let_go()
        self._keeper.join(LONGEST_END_SECONDS)

    def __enter__(self) -> "LocalCluster":
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        parts = [f"<LocalCluster {self._state()}", f"{self.slots} slots"]
        if self._server_name is not None:
            parts.append(self._server_name)
        if self._keeper.server is not None:
            parts.append(f"pid {self._keeper.server.pid}")
        return " | ".join(parts) + ">"

    def _state(self) -> str:
        if self._keeper.failed is not None:
            return "failed"
        if self._is_closed:
            return "closed"
        if not self._is_started:
            return "not started"
        return "running" if self._server_name is not None else "starting"

    # The cluster of this process, which executors share.

    @staticmethod
    def of_this_process() -> "LocalCluster":
        """The cluster that this process shares; a new one if there is none, or it was lost.

        It ends ``cluster_linger_seconds`` after the last `release`. That time begins anew here, so
        there is enough of it to `acquire`.
        """
        global _shared
        with _shared_lock:
            if _shared is None or _shared._is_closed or _shared._keeper.failed is not None:
                _shared = LocalCluster()
            _shared._end_later()
            return _shared

    def acquire(self) -> None:
        """Keep the shared cluster; `release` it once for each time."""
        with _shared_lock:
            self._holders += 1
            self._end_later()

    def release(self) -> None:
        """Let the shared cluster end some time after the last one has released it."""
        with _shared_lock:
            self._holders -= 1
            self._end_later()

    def _end_later(self) -> None:
        """Start the linger anew if nobody holds the shared cluster. Call it under the lock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self is not _shared or self._holders or not self._is_started:
            return
        linger = Settings.from_environment().cluster_linger_seconds
        self._timer = threading.Timer(linger, self._end_if_unused)
        self._timer.name, self._timer.daemon = "distexec-linger", True
        try:
            self._timer.start()
        except RuntimeError:  # The interpreter ends, and `_close_all` is next.
            self._timer = None

    def _end_if_unused(self) -> None:
        global _shared
        with _shared_lock:
            if self._holders or self is not _shared:
                return
            _shared = None
        self.close()


_clusters: weakref.WeakSet[LocalCluster] = weakref.WeakSet()
_shared: LocalCluster | None = None
# An executor that is forgotten releases from within garbage collection, wherever that runs.
_shared_lock = threading.RLock()


def _let_go(keeper: Keeper, owner: int) -> None:
    """End the processes of a cluster that was forgotten; they are reaped on the keeper's thread."""
    if os.getpid() == owner:
        keeper.let_go()


def _close_all() -> None:
    """At exit: leave nothing behind, not even for the guard's half second."""
    for cluster in list(_clusters):
        cluster.close()


def _forget_after_fork() -> None:
    """A forked child gets a cluster of its own; its parent's ends with the parent."""
    global _shared, _shared_lock
    _shared = None
    _shared_lock = threading.RLock()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # Not on Windows, where the first start says what to do.
    os.register_at_fork(after_in_child=_forget_after_fork)
