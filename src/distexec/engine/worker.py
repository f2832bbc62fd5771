"""Celery's worker as we run it: silent, with signals that drain, and forked by the supervisor."""

import logging
import os
import signal
from typing import Any

from celery import platforms, signals
from celery.apps.worker import Worker

from distexec.engine import flags, logs, node, turns
from distexec.engine.app import make_app
from distexec.engine.membership import Membership

logger = logging.getLogger(__name__)


class NodeWorker(Worker):
    """A Celery worker that prints nothing and takes SIGTERM for "drain"."""

    def install_platform_tweaks(self, worker: Any) -> None:
        """Take the place of Celery's handlers, which print on the caller's terminal."""
        pid = os.getpid()

        def drain(number: int, frame: object) -> None:
            if os.getpid() == pid:
                node.drain()
            elif number == signal.SIGTERM:
                # A child that is not wanted any more and has no handlers of its own yet: to drain
                # would be to tell, in memory it shares with the node, that the node does.
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, drain)


def run_node(membership: Membership, *, name: str) -> int:
    """Run a node in this process until it is told to stop; return its exit code."""
    # Whoever killed the supervisor wants no more calls here; those that run may end.
    platforms.set_pdeathsig("SIGTERM")  # type: ignore[attr-defined] # not in its stubs
    for variable in [each for each in os.environ if each.startswith("CELERY_LOG_")]:
        del os.environ[variable]  # Left by a worker that we are started from.
    signals.setup_logging.connect(logs.leave_alone, weak=False)
    app, options = make_app(membership), membership.options
    slots = flags.current.slots or options.slots_at_start  # What the node that died had grown to.
    turns.current = turns.Turns(options.queues)
    logs.keep_warnings()
    worker = NodeWorker(
        app=app,
        hostname=name,
        pool_cls=options.pool,
        concurrency=slots,
        queues=list(options.queues),
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=not options.remote_control,
        loglevel=logging.getLogger("celery").level,
    )
    logs.keep_warnings()  # Again: in its constructor the worker asked for them.
    logger.info("Node %s serves %s with %d slots", name, ", ".join(options.queues), slots)
    worker.start()
    logger.info("Node %s ended", name)
    return worker.exitcode or 0
