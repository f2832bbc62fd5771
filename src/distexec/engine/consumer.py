"""Celery's consumer, made to survive messages that are not Celery's."""

import functools
import logging
from collections.abc import Callable
from queue import Empty
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks

logger = logging.getLogger(__name__)

#: What kombu raises for bytes that are no envelope: not JSON, a scalar, a list, a bad encoding.
#: Each ends Celery's worker. Not AttributeError: that is a lost connection, and must be mended.
_NO_ENVELOPE = (ValueError, TypeError, LookupError)

#: What Celery raises for an envelope without a task in it.
_NO_TASK = (*_NO_ENVELOPE, AttributeError)


#: Seconds between two tries to reach the broker: the first pause, what each adds, and the longest.
_RECONNECTION = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 2.0}


class DropMalformed(bootsteps.StartStopStep):
    """Drops what is popped from a queue and is no envelope of kombu's."""

    requires = (Tasks,)

    def start(self, parent: Any) -> None:
        """Guard the reader of the channel, which is a new one after each reconnection."""
        channel = parent.task_consumer.channel
        handlers = getattr(channel, "handlers", {})
        if "BRPOP" in handlers:  # Other transports than Redis' do their own decoding.
            handlers["BRPOP"] = _dropping(handlers["BRPOP"])


def _dropping(read: Callable[..., Any]) -> Callable[..., Any]:
    def read_or_drop(**options: Any) -> Any:
        try:
            return read(**options)
        except _NO_ENVELOPE as error:
            # The server has removed it from the queue already.
            logger.warning("A malformed message is dropped: %r", error)
            raise Empty from error  # Understood by kombu's loop: nothing to deliver.

    return read_or_drop


class NodeConsumer(Consumer):
    """The consumer of our own nodes: what it cannot understand is rejected, not fatal."""

    def ensure_connected(self, connection: Any) -> Any:
        """Find the broker soon after it is back: Celery's pauses grow to half a minute."""
        connection.ensure_connection = functools.partial(
            connection.ensure_connection, **_RECONNECTION
        )
        return super().ensure_connected(connection)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Wrap Celery's handler, which trusts that a body is a triple and a header a string."""
        handle = super().create_task_handler(*args, **kwargs)
        consumer: Any = self  # Its stubs know half of it.

        def handle_or_reject(message: Any) -> None:
            try:
                handle(message)
            except _NO_TASK as error:
                logger.warning("A malformed message is rejected: %r", error)
                message.reject_log_error(logger, consumer.connection_errors)

        return handle_or_reject
