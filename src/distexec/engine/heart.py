"""Says that the node and its children live, and at once when one does not.

A thread of the node's main process, with a connection of its own: it beats while calls hold the
GIL of every child, while Celery reconnects, and while the pool is drained.

::

    child process --pidfd--> +-------+ --beat: living children, every second--> store
    told, drained --pipe---> | heart | --LEASE_LOST, one for each lease-------> the callers' replies
    deadlines ----memory---> |       | --kill: a call that outlasted its limit-> child process
                             +-------+ --replace----------> main thread (only that one may fork)
"""

import contextlib
import json
import logging
import os
import platform
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from distexec.engine import deadlines, flags, tally, wear
from distexec.engine.children import Child, Children, how_it_ended
from distexec.engine.load import LoadMeter
from distexec.engine.membership import Membership
from distexec.engine.tally import RateMeter
from distexec.scheduling.histogram import to_counts
from distexec.store.connect import open_node_store
from distexec.store.files import shared_folder, sweep
from distexec.store.port import KeyDamaged, NodeStore
from distexec.store.totals import Sender
from distexec.version import __version__
from distexec.wire import places
from distexec.wire.codec import encode_replies
from distexec.wire.compression import best
from distexec.wire.records import WIRE_VERSION, Reply, ReplyKind
from distexec.wire.seal import Direction

logger = logging.getLogger(__name__)


class Heart:
    """The thread and what it knows.

    Args:
        name: The node's name.
        describe: Returns what the record says beside the children, as the node is now.
        on_death: Called in this thread after a child's death was reported.
        on_beat: Called in this thread after each beat, with the server's clock.
    """

    def __init__(
        self,
        name: str,
        membership: Membership,
        *,
        describe: Callable[[], dict[str, Any]],
        on_death: Callable[[], None],
        on_beat: Callable[[float], None],
    ) -> None:
        self._name, self._membership = name, membership
        self._describe, self._on_death, self._on_beat = describe, on_death, on_beat
        self._meter = LoadMeter()
        #: The run times that were counted in the cluster's totals.
        self._counted: Sequence[int] = tally.current.total()
        self._totals = Sender()
        self._rates = RateMeter(self._counted, time.monotonic())
        self._born: deque[Child] = deque()
        self._dead: deque[Child] = deque(maxlen=1000)
        #: Processes to kill, each with the lease that it must be serving.
        self._condemned: deque[tuple[int, str]] = deque(maxlen=1000)
        #: By process, the call that outlasted its time limit.
        self._overdue: dict[int, int] = {}
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._children = Children(self._wake_reader)
        self._next_beat = 0.0
        self._next_sweep = 0.0
        self._kill_at = float("inf")
        #: Children that were killed because the node ends: what they ran is handed back.
        self._evicted: set[int] = set()
        self._is_reachable = True
        self._is_heir = True
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="distexec-heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def adopt(self, child: Child) -> None:
        """Watch over a new child, and name it in a beat at once."""
        self._born.append(child)
        self.beat_now()

    def beat_now(self) -> None:
        """Beat without waiting for the next second. Safe in a signal handler."""
        self._next_beat = 0.0
        with contextlib.suppress(OSError):  # Full: it is awake already. Closed: it is over.
            os.write(self._wake_writer, b"\0")

    def kill_children_after(self, seconds: float) -> None:
        """Kill the children that still run after *seconds*. Safe in a signal handler.

        Their calls are handed back: they run again elsewhere, and are not charged for it.
        """
        self._kill_at = min(self._kill_at, time.monotonic() + seconds)
        self.beat_now()

    def signal_children(self, pids: Sequence[int], number: signal.Signals) -> None:
        """Send a signal to those of *pids* that are children still."""
        for pid in pids:
            if pid in self._children:
                logger.warning("Process %d gets %s by order of its caller", pid, number.name)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def kill_holder(self, pid: int, lease: str) -> None:
        """Kill the child *pid* if it still serves *lease*."""
        self._condemned.append((pid, lease))
        self.beat_now()

    def stop(self) -> None:
        """Remove the node's record and end the thread."""
        self._stopping = True
        self.beat_now()
        self._thread.join()
        self._children.close()
        os.close(self._wake_writer)
        os.close(self._wake_reader)

    def _run(self) -> None:
        store = open_node_store(self._membership.endpoint, self._membership.settings)
        while not self._stopping:
            self._take_in_born()
            self._notice_dead()
            if self._is_heir:
                self._attempt(self._report_strangers, store)
            if self._dead:
                self._attempt(self._report_dead, store)
            if time.monotonic() >= self._next_beat:
                self._next_beat = time.monotonic() + self._membership.settings.beat_seconds
                self._attempt(self._beat, store)
            if time.monotonic() >= self._next_sweep:
                self._sweep()
            if time.monotonic() >= self._kill_at:
                self._kill_children(store)
            self._end_overdue()
            if self._condemned:
                self._attempt(self._kill_condemned, store)
            self._wait()
        with contextlib.suppress(Exception):  # What cannot be said or removed expires.
            self._evicted.update(self._children.pids)
            self._notice_dead()
            self._report_dead(store)
            self._count(tally.current.total(), store)
            store.leave(self._name)
        store.close()

    def _attempt(self, action: Callable[[NodeStore], None], store: NodeStore) -> None:
        """Do *action* unless the server is away; say so once, since beats are many."""
        try:
            action(store)
        except Exception as error:
            if self._is_reachable:
                logger.warning("Node %s cannot reach its cluster: %s", self._name, error)
            self._is_reachable = False
        else:
            if not self._is_reachable:
                logger.info("Node %s reaches its cluster again", self._name)
            self._is_reachable = True

    def _wait(self) -> None:
        now = time.monotonic()
        seconds = min(self._next_beat, self._kill_at) - now
        for child in self._children:
            seconds = min(seconds, deadlines.current.left(child.index, child.pid, now))
        self._children.wait(seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reader, 4096)

    def _take_in_born(self) -> None:
        while self._born:
            self._children.add(self._born.popleft())

    def _notice_dead(self) -> None:
        dead = self._children.remove_dead()
        self._dead.extend(dead)
        if dead:
            self._next_beat = 0.0

    def _report_dead(self, store: NodeStore) -> None:
        while self._dead:
            child = self._dead[0]
            pid = child.pid
            evicted = pid in self._evicted
            how = "ended with its node" if evicted else how_it_ended(child.exitcode)
            overdue = self._overdue.get(pid)
            self._report_lost(store, pid, how, is_charged=not evicted, overdue=overdue)
            self._dead.popleft()
            self._evicted.discard(pid)
            self._overdue.pop(pid, None)
        self._on_death()

    def _report_strangers(self, store: NodeStore) -> None:
        """Report what a node of this name left behind that could not do it itself.

        Its leases would count as ours for as long as we beat.
        """
        for pid in store.holders(self._name) - {*self._children.pids, os.getpid()}:
            self._report_lost(store, pid, "lost with its node")
        self._is_heir = False

    def _report_lost(
        self,
        store: NodeStore,
        pid: int,
        how: str,
        *,
        is_charged: bool = True,
        overdue: int | None = None,
    ) -> None:
        seal = self._membership.seal
        story = f"node {self._name}, process {pid}, {how}"
        for ref, lease in store.leases_of(self._name, pid):
            logger.warning("Lease %s of %s is lost: %s", lease, ref.executor, story)
            fields = {
                "executor": ref.executor,
                "lease": lease,
                "story": story,
                "charged": is_charged,
                "overdue": overdue,
            }
            reply = Reply(0, ReplyKind.LEASE_LOST, 0, 0.0, 0.0, json.dumps(fields).encode())
            place = places.lost(ref.session)
            with contextlib.suppress(KeyDamaged):  # Its caller mends that, and sends all again.
                store.report(ref, seal.seal(Direction.REPLY, place, encode_replies([reply])))
        store.forget(self._name, pid)

    def _beat(self, store: NodeStore) -> None:
        settings = self._membership.settings
        # In a pool of threads the slots are in this process.
        children = self._children.pids or [os.getpid()]
        load = self._meter.read({os.getpid(), *children}).to_fields()
        self._retire_large()
        words = tally.current.total()
        rates = self._rates.read(words, time.monotonic()).to_fields()
        busy = len(store.holders(self._name).intersection(children))
        figures = {"children": children, "busy": busy, "load": load, "rates": rates}
        record = {**figures, **self._describe()}
        frame = pack_node(self._membership, self._name, record)
        try:
            at = store.beat(self._name, frame, settings.node_expiry_seconds)
        except KeyDamaged as error:
            flags.refusals.note("A key of this node", error)
            at = store.beat(self._name, frame, settings.node_expiry_seconds)
        self._count(words, store)
        self._on_beat(at)

    def _count(self, words: Sequence[int], store: NodeStore) -> None:
        """Add the calls that ended since the last time to the cluster's totals."""
        new = [word - before for word, before in zip(words, self._counted, strict=True)]
        self._counted = words
        self._totals.add(to_counts("run", new))
        self._totals.send(store.count)

    def _retire_large(self) -> None:
        """Tell the children with too much memory to go, when their running calls have ended."""
        most = self._membership.options.memory_per_child
        if most is None:
            return
        for child in self._children:
            held = self._meter.memory.get(child.pid, 0)
            if held > most and wear.current.tell(child.index, child.pid):
                logger.info("Process %d holds %d MiB and is replaced", child.pid, held // 2**20)

    def _end_overdue(self) -> None:
        """Kill the children whose call outlasted its time limit, and could not be interrupted."""
        for child in self._children:
            index, pid = child.index, child.pid
            if deadlines.current.overdue(index, pid, time.monotonic()) is None:
                continue
            with contextlib.suppress(ProcessLookupError):
                # Halted first: the call may end just now, and the next one is not guilty.
                os.kill(pid, signal.SIGSTOP)
                overdue = deadlines.current.overdue(index, pid, time.monotonic())
                os.kill(pid, signal.SIGCONT if overdue is None else signal.SIGKILL)
                if overdue is not None and pid not in self._overdue:
                    self._overdue[pid] = overdue
                    logger.warning("Process %d is killed: its call outlasted its limit", pid)

    def _sweep(self) -> None:
        """Remove large values that vanished callers left on this machine."""
        settings = self._membership.settings
        self._next_sweep = time.monotonic() + settings.node_expiry_seconds
        folder = shared_folder(self._membership.endpoint)
        if folder is not None:
            sweep(folder, settings.key_expiry_seconds)

    def _kill_condemned(self, store: NodeStore) -> None:
        while self._condemned:
            pid, lease = self._condemned[0]
            if any(lease == held for _, held in store.leases_of(self._name, pid)):
                self.signal_children([pid], signal.SIGKILL)
            self._condemned.popleft()

    def _kill_children(self, store: NodeStore) -> None:
        self._kill_at = float("inf")
        if self._membership.options.pool != "prefork":
            self._end_process(store)
        self._evicted.update(self._children.pids)
        for pid in self._children.pids:
            logger.warning("Process %d is killed: its calls outlasted the node's end", pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end_process(self, store: NodeStore) -> NoReturn:
        """End the node with the threads that outlasted its end: nothing else stops a thread."""
        logger.warning("The node ends at once: its calls outlasted its end")
        with contextlib.suppress(Exception):  # What cannot be said is seen when the node is silent.
            self._report_lost(store, os.getpid(), "ended with its node", is_charged=False)
            store.leave(self._name)
        os._exit(0)


def pack_node(membership: Membership, name: str, record: dict[str, Any]) -> bytes:
    """Write a node's record: what anybody may read, a newline, and all of it, sealed.

    The first part tells a caller with another secret, or another Python, why they do not fit.
    """
    public = {
        "python": places.PYTHON,
        "wire": WIRE_VERSION,
        "version": __version__,
        "key": membership.seal.key_id.hex(),
        "host": platform.node(),
        "codec": int(best()),
    }
    body = json.dumps({"name": name, "pid": os.getpid(), **public, **record}).encode()
    sealed = membership.seal.seal(Direction.CONTROL, places.node(name), body)
    return json.dumps(public).encode() + b"\n" + sealed
