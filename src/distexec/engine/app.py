"""The Celery application of our own nodes."""

from typing import Any, Final

from celery import Celery, signals

from distexec.engine import logs
from distexec.engine.consumer import DropMalformed
from distexec.engine.lease import register_lease
from distexec.engine.membership import (
    Membership,
    hide_secrets,
    transport_options,
)
from distexec.engine.node import join
from distexec.settings import DEFAULT_QUEUE, Settings, WorkerOptions

#: Seconds for a new child to report. Celery's 4 would kill children that were forked together with
#: fifty others on a busy machine.
_CHILD_START_SECONDS: Final = 60.0


def make_app(membership: Membership) -> Celery:
    """Return a Celery application whose workers serve executors, and nothing else."""
    app = Celery("distexec", broker=membership.broker_url, set_as_current=False)
    app.conf.update(node_settings(membership.settings, membership.options))
    app.steps["consumer"].add(DropMalformed)
    register_lease(app, membership)
    join(app, membership)
    return app


def app_of_environment() -> Celery:
    """Return the application of ``celery -A distexec.engine``, which logs to stderr."""
    signals.setup_logging.connect(logs.to_stderr_as_celery_asks, weak=False)
    membership = Membership.of_environment(options=WorkerOptions.from_environment())
    hide_secrets()
    return make_app(membership)


def node_settings(settings: Settings, options: WorkerOptions) -> dict[str, Any]:
    """Return the settings without which a worker on Redis loses messages, hangs or dies.

    Each was found by breaking a worker that had Celery's default.
    """
    return {
        # A server that restarts, fills up or fails over costs a reconnection, not the worker.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_transport_options": transport_options(settings)
        | {"queue_order_strategy": "distexec.engine.turns:MissingFirst"},
        "worker_consumer": "distexec.engine.consumer:NodeConsumer",
        # One message per free slot: what a busy node prefetched would have to wait for it.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_enable_prefetch_count_reduction": False,
        # A running lease is not delivered again after an hour, nor killed by a lost connection:
        # the callers recover what is lost.
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_ignore_result": True,
        "result_backend": None,
        # Unsigned: whoever can publish can stop the worker. Nodes take signed commands.
        "worker_enable_remote_control": options.remote_control,
        "worker_send_task_events": options.remote_control,
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_default_queue": DEFAULT_QUEUE,
        "task_create_missing_queues": True,
        "worker_detect_quorum_queues": False,
        # The output of calls is the user's.
        "worker_redirect_stdouts": False,
        "worker_hijack_root_logger": False,
        # Children share the node's flags, which only a fork inherits.
        "worker_pool_start_method": "fork",
        "worker_proc_alive_timeout": _CHILD_START_SECONDS,
    }
