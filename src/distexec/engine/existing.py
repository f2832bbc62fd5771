"""Lets the workers of an existing Celery application serve executors too."""

import logging
import weakref
from collections.abc import Sequence
from typing import Any

from celery import Celery, signals

from distexec.engine.lease import register_lease
from distexec.engine.membership import Membership
from distexec.engine.node import join
from distexec.settings import DEFAULT_QUEUE

logger = logging.getLogger(__name__)

_queues: "weakref.WeakKeyDictionary[Celery, tuple[str, ...]]" = weakref.WeakKeyDictionary()


def install(
    app: Celery,
    cluster: str | None = None,
    share: float = 0.5,
    *,
    queues: Sequence[str] = (DEFAULT_QUEUE,),
) -> None:
    """Make every worker of *app* also serve executors.

    Call it where the application is made, in the module that ``celery -A`` names. The application's
    settings stay as they are and its tasks come first: leases hold at most *share* of a worker's
    slots, and give them back while tasks wait. Callers publish to the application's broker: where
    that is not the cluster's own server, they set ``DISTEXEC_BROKER`` to it.

    Args:
        cluster: The cluster's URL; ``None`` takes ``DISTEXEC_URL``.
        share: Above 0, at most 1; a worker always lends one slot.
        queues: The executors' queues that these workers serve.

    Raises:
        ClusterError: No cluster is named, or there is no secret.
        ValueError: The share or the URL cannot be.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, not {share!r}")
    if isinstance(queues, str) or not queues:
        raise ValueError(f"queues must be names of queues, as in ['distexec'], not {queues!r}")
    membership = Membership.of_environment(cluster, share=share, is_guest=True)
    register_lease(app, membership)
    join(app, membership)
    _queues[app] = tuple(queues)


@signals.celeryd_after_setup.connect(weak=False)
def _consume(instance: Any, **_: Any) -> None:
    """Add our queues to those that the worker was told to consume, now that they are chosen."""
    app = instance.app
    for queue in _queues.get(app, ()):
        app.amqp.queues.select_add(queue)
