"""Runs a node, and starts it again when it dies: for `distexec worker` and embedded clusters.

::

    supervisor            imports Celery, forks the node, waits: one thread, no sockets
      └── node            Celery's main process: consumer, pool, heart
            └── children  one per slot: leases, and in them the users' calls

Forking after the import makes a restart cost milliseconds, and the start one interpreter, not two.
"""

import argparse
import contextlib
import gc
import importlib
import json
import logging
import multiprocessing
import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, NoReturn

import psutil

from distexec.engine import logs
from distexec.engine.membership import Membership, hide_secrets
from distexec.errors import ClusterError, ClusterUnavailable
from distexec.settings import Settings, WorkerOptions
from distexec.store.endpoint import Endpoint
from distexec.wire.seal import Seal

logger = logging.getLogger("distexec.engine.supervisor")  # Not "__main__".

#: Seconds that an embedded node waits for the server that is started beside it.
SERVER_SECONDS: Final = 10.0

#: Seconds before the second, third... start of a node that died young. The first costs nothing: a
#: single accident should not be felt.
_PAUSES: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 10.0, 10.0)

#: A node that lived longer than this died of something new.
_YOUNG_SECONDS: Final = 30.0

#: Exit code of a node that no new start will help (``EX_CONFIG`` of sysexits.h).
_NO_USE: Final = 78

#: What a node would import by and by.
_IMPORTED_BEFORE_FORK: Final = (
    "billiard.popen_fork",
    "billiard.sharedctypes",
    "billiard.synchronize",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.log",
    "celery.app.routes",
    "celery.apps.worker",
    "celery.backends.base",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.events",
    "celery.fixups.django",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.strategy",
    "kombu.transport.redis",
    "distexec.engine.consumer",
    "distexec.engine.worker",
    "distexec.store.connect",
    "distexec.worker.slot",
)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def run(
    *,
    url: str | None = None,
    options: WorkerOptions | None = None,
    name: str | None = None,
    drain: float | None = None,
    log_level: int | str = logging.INFO,
) -> int:
    """Run a node of the cluster at *url* until it is told to stop; log to stderr.

    The first SIGTERM, SIGINT or SIGHUP drains the node, the second kills it.

    Args:
        url: The cluster; ``None`` takes ``DISTEXEC_URL``.
        options: ``None`` takes the environment's.
        name: Unique in the cluster; ``None`` makes one from host and process.
        drain: Seconds that running calls may go on when the node ends; ``None``: the settings'.

    Returns:
        The exit code.

    Raises:
        ClusterError: No cluster is named, there is no secret, or the server refuses us.
        ValueError: The URL or a setting cannot be read.
    """
    from distexec.engine.names import refuse_second

    logs.to_stderr(logging.getLevelName(log_level) if isinstance(log_level, str) else log_level)
    options = options or WorkerOptions.from_environment()
    membership = Membership.of_environment(url, is_supervised=True, options=options)
    if url and Endpoint.parse(url).password and url in " ".join(sys.argv):
        logger.warning(
            "Every user of this machine can read the password in this command line: set "
            "DISTEXEC_URL instead of giving --cluster"
        )
    if options.remote_control:
        logger.warning(
            "Celery's remote control is on, and unsigned: whoever can publish to the broker can "
            "stop this node"
        )
    hide_secrets()
    if drain is not None:
        settings = replace(membership.settings, drain_seconds=drain)
        membership = replace(membership, settings=settings)
    name = name or f"node-{os.getpid()}"
    name = name if "@" in name else f"{name}@{socket.gethostname()}"
    refuse_second(membership, name)
    with tempfile.TemporaryDirectory(prefix="distexec-") as folder:
        _keep_temporary_files_in(folder)
        return _supervise(membership, name=name, own_group=True)


def run_embedded(orders: dict[str, Any]) -> int:
    """Run the node of an embedded cluster, as its launcher's *orders* say; log to a file."""
    sys.path[:] = orders["sys_path"]
    logs.to_file(orders["log"])
    _keep_temporary_files_in(os.path.dirname(orders["log"]))
    endpoint = Endpoint.from_json(orders["endpoint"])
    membership = Membership(
        endpoint=endpoint,
        seal=Seal(bytes.fromhex(orders["secret"])),
        settings=Settings.from_environment(),
        is_supervised=True,
        options=WorkerOptions(queues=dict.fromkeys(orders["queues"], 1), slots=orders["slots"]),
    )
    _wait_for_server(endpoint)
    # The launcher ends the whole process group: the node stays in it.
    return _supervise(membership, name=orders["node"], own_group=False)


def _keep_temporary_files_in(folder: str) -> None:
    """Give billiard *folder*: the node ends without the cleaning up that its own would need."""
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined]  # no other way
    config["tempdir"] = folder


def _supervise(membership: Membership, *, name: str, own_group: bool) -> int:
    _import_celery()
    _refuse_little_memory(membership.options.memory_per_child)
    deaths = 0
    with _arriving_signals() as signals:
        while True:
            born = time.monotonic()
            node = os.fork()
            if node == 0:
                signals.close()
                _become_node(membership, name=name, own_group=own_group)
            code = _watch(node, signals)
            if signals.stops or code in (0, _NO_USE):
                return max(code, 0) if not signals.stops else 0
            deaths = deaths + 1 if time.monotonic() - born < _YOUNG_SECONDS else 1
            if deaths > len(_PAUSES):
                logger.critical("Node %s died %d times in a row: given up", name, deaths)
                return 1
            pause = _PAUSES[deaths - 1]
            logger.error("Node %s died (%s); next start in %.1f s", name, _ending(code), pause)
            if signals.wait(pause, until=lambda: bool(signals.stops)):
                return 0


def _watch(node: int, signals: "_Signals") -> int:
    """Wait until the process *node* ends, handing signals on; return its exit code, or -signal."""
    forwarded = 0
    code: int | None = None

    def has_news() -> bool:
        nonlocal code
        pid, status = os.waitpid(node, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
        return code is not None or len(signals.stops) > forwarded

    while code is None:
        signals.wait(None, until=has_news)
        if code is None:
            forwarded = len(signals.stops)
            # The node knows one polite word; whoever says it twice means the other one.
            os.kill(node, signal.SIGTERM if forwarded == 1 else signal.SIGKILL)
    return code


class _Signals:
    """Signals as data: they are counted here, and acted on where the loop chooses."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        #: The signals to stop, in the order of their arrival.
        self.stops: list[int] = []
        self._previous = {
            number: signal.signal(number, self._note) for number in (*_SIGNALS, signal.SIGCHLD)
        }
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def _note(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self.stops.append(number)

    def wait(self, timeout: float | None, *, until: Callable[[], bool]) -> bool:
        """Wait *timeout* seconds at most for *until*, which is asked after each signal."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not until():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            select.select([self._reader], [], [], left)
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 4096)
        return True

    def close(self) -> None:
        """Give the signals back."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)


@contextlib.contextmanager
def _arriving_signals() -> Iterator[_Signals]:
    signals = _Signals()
    try:
        yield signals
    finally:
        signals.close()


def _become_node(membership: Membership, *, name: str, own_group: bool) -> NoReturn:
    """Turn this forked process into the node; never return."""
    code = 1
    try:
        from distexec.engine.worker import run_node

        if own_group:
            # A terminal's Ctrl-C reaches the supervisor alone, which drains the node.
            os.setpgid(0, 0)
        code = run_node(membership, name=name)
    except ClusterUnavailable:
        logger.exception("Node %s cannot start", name)
    except ClusterError as error:
        logger.critical("Node %s cannot start: %s", name, error)
        code = _NO_USE
    except BaseException:
        logger.exception("Node %s cannot start", name)
    finally:
        logging.shutdown()
        os._exit(code)


def _import_celery() -> None:
    """Import all that the node will need, so that each fork has it."""
    gc.disable()  # Nothing of it is garbage; looking for some takes a fifth of the time.
    for module in _IMPORTED_BEFORE_FORK:
        importlib.import_module(module)
    # Out of the collector's sight for good: Celery collects before each fork, and a look at all
    # of it would copy every page to every child.
    gc.freeze()
    gc.enable()


def _refuse_little_memory(most: int | None) -> None:
    """Refuse a limit by which each child would be replaced before its first call.

    Raises:
        ValueError: A child has more from its birth.
    """
    held = psutil.Process().memory_info().rss
    if most is not None and most <= held:
        raise ValueError(
            f"memory_per_child is {most // 2**20} MiB, and a child that runs nothing has "
            f"{held // 2**20} MiB: give it more"
        )


def _wait_for_server(endpoint: Endpoint) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(endpoint.path)
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ClusterUnavailable(f"no server at {endpoint.display}: {error}") from error
        time.sleep(0.005)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def main() -> int:
    """Run as ``python -m distexec.engine.supervisor --embedded``, with the orders on stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedded", action="store_true", required=True)
    parser.parse_args()
    return run_embedded(json.loads(sys.stdin.readline()))


if __name__ == "__main__":
    sys.exit(main())
