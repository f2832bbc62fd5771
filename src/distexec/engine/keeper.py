"""The thread that starts, watches and reaps the embedded cluster's processes.

Everything is started on this thread and not on the caller's: KeyboardInterrupt is raised in the
main thread only, so there is no moment when it could leave a process behind that nobody knows.

::

    start ──> guard, server, node are up ──> let_go, or a loss ──> the guard ends them ──> reaped
                     │        ▲
                     └────────┘ the guard was killed, or a node that had worked: started again
"""

import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from distexec.engine import node_process, server
from distexec.engine.guard import Guard, Process
from distexec.errors import ClusterError, ClusterUnavailable
from distexec.store.endpoint import SOCKET, Endpoint
from distexec.wire import secret as secrets

#: A node that is killed sooner than this would be again: better say so than try for ever. A good
#: start takes well under a second.
_SHORTEST_NODE_LIFE_SECONDS = 5.0

#: The guard takes half a second at most; the rest is for a machine that is very busy.
LONGEST_END_SECONDS = 3.0

#: Seconds between looks at the processes, where the kernel cannot tell of their end (macOS).
_LOOK_SECONDS = 0.05


#: Tries to remove the folder, and seconds between two of them.
_REMOVALS = 10
_REMOVAL_PAUSE_SECONDS = 0.02


class Keeper:
    """Keeps one cluster's processes. Does not hold the `LocalCluster`, which may be forgotten."""

    def __init__(self, *, name: str, queues: Sequence[str], slots: int) -> None:
        self.name, self.queues = name, queues
        #: What a node that is started again begins with.
        self.slots = slots
        self.secret = secrets.generate()
        self.password = os.urandom(32).hex()
        #: What happened, if the cluster is lost.
        self.failed: str | None = None
        self.folder: Path | None = None
        self.server: Process | None = None
        self._guard: Guard | None = None
        self._node: Process | None = None
        self._node_started_at = 0.0
        self._children: list[Process] = []
        self._is_ending = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="distexec-keeper", daemon=True)

    def start(self) -> None:
        """Start all processes; wait for none of them.

        Raises:
            ClusterUnavailable: One of them cannot be started; none is left.
        """
        try:
            self._thread.start()
            self._started.wait()
            if self.failed is not None:
                raise ClusterUnavailable(self.failed)
        except BaseException:
            self.let_go()
            self.join(LONGEST_END_SECONDS)
            raise

    @property
    def endpoint(self) -> Endpoint:
        """Where the server listens, with the password."""
        assert self.folder is not None
        return Endpoint(
            scheme=SOCKET, path=str(self.folder / server.SOCKET_FILE), password=self.password
        )

    def let_go(self) -> None:
        """End everything, soon. Returns at once; allowed from everywhere, garbage collection too.

        No lock, since the collector may run it on a thread that holds one: whoever sets `_guard`
        looks at `_is_ending` afterwards, and here it is the other way round.
        """
        self._is_ending = True
        if self._guard is not None:
            self._guard.let_go()

    def join(self, timeout: float | None = None) -> None:
        """Wait until everything is gone."""
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._start_all()
        except ClusterError as error:
            self._fail(str(error))
        except Exception as error:
            self._fail(f"the embedded cluster cannot start: {type(error).__name__}: {error}")
        finally:
            self._started.set()
        while self._children:
            _wait_for_exit(self._children)
            for process in [each for each in self._children if each.poll() is not None]:
                self._children.remove(process)
                self._look_after(process)
        if self.folder is not None:
            # Done already, if the guard came to its end.
            _remove(self.folder)

    def _start_all(self) -> None:
        binary = server.find_server()
        self.folder = server.make_folder()
        self._start_guard()
        # For other programs. Not by `secrets.write`, which would make the folder anew if the guard
        # has removed it meanwhile.
        key = secrets.to_text(self.secret) + "\n"
        server.write_private(self.folder / secrets.FILE_NAME, key)
        # First the node, which takes longest.
        self._start_node()
        self.server = self._adopt(server.launch_server(binary, self.folder, self.password))

    def _start_guard(self) -> None:
        assert self.folder is not None
        guard = Guard(self.folder)
        for process in self._children:
            guard.watch(process)
        self._children.append(guard.process)
        self._guard = guard
        if self._is_ending:
            guard.let_go()

    def _start_node(self) -> None:
        assert self.folder is not None
        self._node_started_at = time.monotonic()
        self._node = self._adopt(
            node_process.launch_node(
                self.folder,
                self.endpoint,
                self.secret,
                name=self.name,
                queues=self.queues,
                slots=self.slots,
            )
        )

    def _adopt(self, process: Process) -> Process:
        assert self._guard is not None
        self._children.append(process)
        self._guard.watch(process)
        return process

    def _look_after(self, process: Process) -> None:
        """Draw the conclusions from the end of *process*, which was reaped."""
        assert self._guard is not None and self.folder is not None
        if process is not self._guard.process:
            _kill_group(process)  # A node's children, if it could not end them itself.
            self._guard.forget(process)
        elif self._is_ending:
            for left in self._children:
                _kill_group(left)
        if self._is_ending:
            return
        try:
            if process is self._guard.process:
                self._guard.let_go()
                self._start_guard()
            elif process is self._node and self._is_worth_another():
                self._start_node()
            else:
                what, log = (
                    ("node", node_process.LOG_FILE)
                    if process is self._node
                    else ("server", server.LOG_FILE)
                )
                self._fail(
                    f"the embedded cluster's {what} {_how_it_ended(process)}"
                    + server.last_lines(self.folder / log)
                )
        except ClusterUnavailable as error:
            self._fail(str(error))

    def _is_worth_another(self) -> bool:
        # What exits by itself has given up: the supervisor tries again on its own as long as that
        # makes sense.
        assert self._node is not None
        age = time.monotonic() - self._node_started_at
        return self._node.returncode < 0 and age > _SHORTEST_NODE_LIFE_SECONDS

    def _fail(self, why: str) -> None:
        if not self._is_ending:
            self.failed = why
        self.let_go()
        if self._guard is None or self._guard.process not in self._children:
            for process in self._children:
                _kill_group(process)


def _wait_for_exit(processes: Sequence[Process]) -> None:
    """Wait until one of *processes* may have ended."""
    descriptors: list[int] = []
    try:
        poll = select.poll()
        for process in processes:
            descriptors.append(os.pidfd_open(process.pid))
            poll.register(descriptors[-1], select.POLLIN)
        poll.poll()
    except (AttributeError, OSError):  # No pidfd on this system, or no descriptor left for it.
        time.sleep(_LOOK_SECONDS)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _kill_group(process: Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # Gone; macOS says the second of zombies.
        pass


def _how_it_ended(process: Process) -> str:
    code = process.returncode
    if code < 0:
        try:
            return f"(pid {process.pid}) was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"(pid {process.pid}) was killed by signal {-code}"
    return f"(pid {process.pid}) exited with code {code}"


def _remove(folder: Path) -> None:
    """Remove *folder*, more than once: a process that is dying may still put a file there."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_REMOVAL_PAUSE_SECONDS)
