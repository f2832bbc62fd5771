"""The kinds of clusters that an executor can be given, and how each is found."""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from distexec.client.cluster import Cluster
from distexec.errors import ClusterError, ClusterUnavailable, SecretError
from distexec.settings import Settings, variables
from distexec.wire.seal import LARGEST_BATCH, Seal
from distexec.worker import context
from distexec.worker.slot import Slot

if TYPE_CHECKING:
    from distexec.engine.local import LocalCluster
    from distexec.engine.threads import ThreadsCluster
    from distexec.store.caller_port import CallerStore
    from distexec.store.endpoint import Endpoint
    from distexec.store.port import ExecutorRef
    from distexec.wire.records import Surroundings

logger = logging.getLogger(__name__)

#: Seconds that the slots of a remote cluster are taken for known, before it is asked again.
SLOTS_KNOWN_SECONDS = 1.0

#: Seconds after which a node that was told to grow has done so, unless the order was lost.
GROWN_SECONDS = 1.0

#: Seconds that an idle slot of this process serves its own executors.
NESTED_LINGER_SECONDS = 0.05


class Waker:
    """Publishes wake-ups on a thread of its own: the broker may block, callers must not."""

    def __init__(self, broker_url: str, seal: Seal, settings: Settings) -> None:
        from distexec.engine.wakeup import WakeUps

        self._wake_ups = WakeUps(broker_url, seal, settings)
        self._orders: SimpleQueue[tuple[str, int, bool] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="distexec-waker", daemon=True)
        self._thread.start()

    def wake(self, queue: str, count: int, again: bool) -> None:
        """Publish *count* wake-ups, soon. What fails is repeated by who still needs it."""
        self._orders.put((queue, count, again))

    def close(self) -> None:
        """End the thread and the connection."""
        self._orders.put(None)
        self._thread.join()
        self._wake_ups.close()

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            queue, count, again = order
            try:
                self._wake_ups.send(queue, count, again=again)
            except ClusterError as error:
                logger.info("Wake-ups for queue %s were not published: %s", queue, error)


class RemoteCluster:
    """A cluster that somebody else runs, at a URL; or, in a worker, the one that it serves."""

    has_nodes = True

    def __init__(
        self,
        endpoint: "Endpoint",
        seal: Seal,
        settings: Settings,
        *,
        broker_url: str = "",
        is_home: bool = False,
    ) -> None:
        self.endpoint, self.seal, self.settings = endpoint, seal, settings
        # A batch has other calls beside, and each its header.
        seal.largest_body = int(settings.max_payload_bytes) + LARGEST_BATCH
        self.is_home = is_home
        self._broker_url = broker_url or endpoint.broker_url()
        self._waker: Waker | None = None
        self._store: CallerStore | None = None
        #: Slots of each node, with its queues, as they were when last asked.
        self._nodes: list[tuple[int, frozenset[str]]] = []
        self._nodes_asked = 0.0

    @property
    def is_distant(self) -> bool:
        return not self.endpoint.is_loopback

    @property
    def broker(self) -> str:
        from distexec.engine.wakeup import other_broker

        return other_broker(self._broker_url, self.endpoint)

    @property
    def key(self) -> Hashable:
        return (self.endpoint, self.seal.key_id, self.is_home)

    def open(self, session: str) -> "CallerStore":
        from distexec.store.connect import open_caller_store

        self._store = open_caller_store(self.endpoint, session, self.settings)
        self._waker = Waker(self._broker_url, self.seal, self.settings)
        return self._store

    def wake(self, queue: str, count: int, *, again: bool = False) -> None:
        if self._waker is not None:
            self._waker.wake(queue, count, again)

    def grow(self, slots: int) -> None:
        """Its nodes have the slots that they were started with."""

    def slots(self, *queues: str) -> int:
        from distexec.client.nodes import read_node
        from distexec.store.port import KeyDamaged

        now = time.monotonic()
        if self._store is not None and now - self._nodes_asked > SLOTS_KNOWN_SECONDS:
            self._nodes_asked = now
            # Else the nodes mend their list within a second.
            with contextlib.suppress(KeyDamaged):
                nodes = [read_node(status, self.seal) for status in self._store.nodes()]
                self._nodes = [(node.slots, frozenset(node.queues)) for node in nodes if node]
        return max(1, sum(slots for slots, served in self._nodes if served.intersection(queues)))

    def surroundings(self) -> "Surroundings | None":
        return None

    def serve_here(
        self, ref: "ExecutorRef", queue: str, limit: int, on_stuck: Callable[[], None]
    ) -> None:
        from distexec.store.connect import open_lease_store

        node = context.home()
        name = node.node if node is not None else ""
        store = open_lease_store(self.endpoint, name, self.settings)
        try:
            slot = Slot(
                queue,
                store,
                node=name,
                seal=self.seal,
                settings=replace(self.settings, linger_seconds=NESTED_LINGER_SECONDS),
                forward_logs=False,
                on_stuck=on_stuck,
            )
            slot.serve_executor(ref, limit, limit)
        except ClusterError as error:
            logger.info("No sub-calls are run here: %s", error)
        finally:
            store.close()

    def advice(self, queue: str) -> str | None:
        return f"start one with `distexec worker --cluster {self} --queues {queue}`"

    def failure(self) -> str | None:
        return None

    def release(self) -> None:
        if self._waker is not None:
            self._waker.close()
        self._waker = self._store = None

    def __str__(self) -> str:
        return self.endpoint.display


class EmbeddedCluster(RemoteCluster):
    """A `LocalCluster` of this process: it grows as executors ask, and shares our surroundings."""

    def __init__(self, local: "LocalCluster", settings: Settings, *, shared: bool) -> None:
        super().__init__(local.endpoint, Seal(local.secret), settings)
        self._local, self._shared = local, shared
        self._ordered_at = time.monotonic()
        self._growing = threading.Lock()

    def open(self, session: str) -> "CallerStore":
        if self._shared:
            self._local.acquire()
        try:
            self._local.wait_ready()
            return super().open(session)
        except BaseException:
            if self._shared:
                self._local.release()
            raise

    def grow(self, slots: int) -> None:
        now = time.monotonic()
        again = now - self._ordered_at > GROWN_SECONDS and self._is_small()
        if slots > self._local.slots or again:
            self._ordered_at = now
            thread = threading.Thread(
                target=self._grow, args=(slots, again), name="distexec-grow", daemon=True
            )
            thread.start()

    def _is_small(self) -> bool:
        """Whether the node has fewer slots than were ordered: orders are lost with the server."""
        return super().slots(*self._local.queues) < self._local.slots

    def _grow(self, slots: int, again: bool) -> None:
        try:
            self._local.grow(slots, again=again)
        except ClusterError as error:
            logger.info("The embedded cluster did not grow to %d slots: %s", slots, error)

    def slots(self, *queues: str) -> int:
        return self._local.slots

    def surroundings(self) -> "Surroundings":
        from distexec.engine.node_process import import_path, node_environment, working_folder
        from distexec.wire.records import Surroundings

        directory = working_folder()
        return Surroundings(
            directory,
            tuple(import_path(sys.path, directory)),
            dict(node_environment(os.environ, self._local.slots)),
        )

    def advice(self, queue: str) -> str | None:
        if queue in self._local.queues:
            return None  # It starts, or it is started again.
        return f"hold one with LocalCluster(queues=[{queue!r}]) and give it to the executor"

    def failure(self) -> str | None:
        return self._local.failed

    def release(self) -> None:
        super().release()
        if self._shared:
            self._local.release()

    def __str__(self) -> str:
        return "the embedded cluster"


#: The in-memory cluster of this process, by its id: a forked child's is another.
_threads: "tuple[int, ThreadsCluster] | None" = None


def find_cluster(cluster: "str | LocalCluster | None", settings: Settings) -> Callable[[], Cluster]:
    """Say what *cluster* means. Nothing is started or connected before the result is called.

    Args:
        cluster: A URL, ``"threads"``, a `LocalCluster`, or ``None``: the cluster that this process
            is a worker of, else ``DISTEXEC_URL``, else the embedded cluster of this process.

    Raises:
        ValueError: A URL that cannot mean a server.
        SecretError: A remote cluster without a secret.
        ClusterUnavailable: No embedded cluster on this system.
        TypeError: Something else.
    """
    home = context.home() if cluster is None else None
    if home is not None:
        return lambda: RemoteCluster(
            home.endpoint, home.seal, home.settings, broker_url=home.broker_url, is_home=True
        )
    if cluster is None:
        cluster = variables().get("DISTEXEC_URL") or None
    if cluster == "threads":
        return lambda: _threads_cluster(settings)
    if isinstance(cluster, str):
        remote = _remote(cluster, settings)
        return lambda: remote
    if sys.platform == "win32":
        raise ClusterUnavailable(
            "no embedded cluster on Windows: no server runs there. Give a cluster's URL, as in "
            "DistributedExecutor(cluster='rediss://host'), or use WSL"
        )
    from distexec.engine.local import LocalCluster

    if cluster is None:
        return lambda: EmbeddedCluster(LocalCluster.of_this_process(), settings, shared=True)
    if isinstance(cluster, LocalCluster):
        held = cluster
        return lambda: EmbeddedCluster(held, settings, shared=False)
    raise TypeError(
        f"cluster must be a URL, 'threads', a LocalCluster or None, not {type(cluster).__name__}"
    )


def _threads_cluster(settings: Settings) -> Cluster:
    from distexec.engine.threads import ThreadsCluster

    global _threads
    if _threads is None or _threads[0] != os.getpid():
        _threads = os.getpid(), ThreadsCluster(settings)
    return _threads[1]


def _remote(url: str, settings: Settings) -> Cluster:
    from distexec.store.endpoint import Endpoint
    from distexec.wire import secret

    endpoint = Endpoint.parse(url)
    secrets = secret.load(beside=endpoint.folder)
    if not secrets:
        raise SecretError(
            f"no secret for the cluster at {endpoint.display}: make one with `distexec keygen`, "
            "and give it to callers and nodes in DISTEXEC_SECRET or DISTEXEC_SECRET_FILE"
        )
    broker_url = variables().get("DISTEXEC_BROKER", "")
    seal = Seal(*secrets, read_again=partial(secret.load, beside=endpoint.folder))
    return RemoteCluster(endpoint, seal, settings, broker_url=broker_url)
