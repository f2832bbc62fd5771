"""Celery's consumer, made to survive messages that are not Celery's."""

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from queue import Empty
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks

from distexec.engine import flags, node

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
            handlers["BRPOP"] = _dropping(handlers["BRPOP"], parent.mend)


def _dropping(read: Callable[..., Any], mend: Callable[[], None]) -> Callable[..., Any]:
    def read_or_drop(**options: Any) -> Any:
        try:
            return read(**options)
        except _NO_ENVELOPE as error:
            # The server has removed it from the queue already.
            flags.refusals.note("A malformed message", repr(error))
            raise Empty from error  # Understood by kombu's loop: nothing to deliver.
        except Exception as error:
            if not _tells_damage(error):
                raise
            mend()
            raise Empty from error

    return read_or_drop


class NodeConsumer(Consumer):
    """The consumer of our own nodes: what it cannot understand is rejected, not fatal."""

    def ensure_connected(self, connection: Any) -> Any:
        """Find the broker soon after it is back: Celery's pauses grow to half a minute."""
        connection.ensure_connection = functools.partial(
            connection.ensure_connection, **_RECONNECTION
        )
        return super().ensure_connected(connection)

    def connect(self) -> Any:
        """Connect, and remove what would make commands of kombu's fail, and end the connection."""
        node.show_life()
        connection = super().connect()
        self._mend(connection.default_channel)
        return connection

    def mend(self) -> None:
        """Remove what others wrote over kombu's keys.

        Reconnecting would do as well, but Celery's pool does not always stand that while one of its
        children dies.
        """
        consumer: Any = self
        self._mend(consumer.task_consumer.channel)

    def _mend(self, channel: Any) -> None:
        for found in _remove_damaged(channel, self.app.amqp.queues.consume_from):
            flags.refusals.note("A key of the queue", found)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Wrap Celery's handler, which trusts that a body is a triple and a header a string."""
        handle = super().create_task_handler(*args, **kwargs)
        consumer: Any = self  # Its stubs know half of it.

        def handle_or_reject(message: Any) -> None:
            message.ack_log_error = functools.partial(_acknowledge, message, self.mend)
            try:
                handle(message)
            except _NO_TASK as error:
                flags.refusals.note("A malformed task", repr(error))
                message.reject_log_error(logger, consumer.connection_errors)

        return handle_or_reject


def _acknowledge(message: Any, mend: Callable[[], None], *_: Any) -> None:
    """Acknowledge; a failure ends the connection, and Celery makes a new one.

    kombu would log it and count the message as being worked on for ever. With as many of these as
    there are slots it takes nothing any more, and has no command under way whose connection could
    be seen to break: the worker is deaf.
    """
    try:
        message.ack()
    except Exception as error:
        if not _tells_damage(error):
            raise
        mend()
        message.ack()


def _tells_damage(error: Exception) -> bool:
    """Whether the server refused a command for the type of its key, in redis-py's words."""
    return "WRONGTYPE" in str(error)


def _remove_damaged(channel: Any, queues: Mapping[str, Any]) -> Iterator[str]:
    """Remove the keys of kombu's that have another type than it gave them; tell which."""
    if not hasattr(channel, "unacked_index_key"):
        return  # Not Redis.
    kinds = {
        channel.unacked_key: "hash",
        channel.unacked_index_key: "zset",
        channel.unacked_mutex_key: "string",
    }
    for name, queue in queues.items():
        for form in (channel.keyprefix_queue, channel.keyprefix_binding_permanent):
            kinds[form % (queue.exchange.name,)] = "set"
        for priority in channel.priority_steps:
            kinds[channel._q_for_pri(name, priority)] = "list"
    with channel.conn_or_acquire() as client:
        for key, wanted in kinds.items():
            holds = client.type(key).decode()
            if holds not in (wanted, "none"):
                client.delete(key)
                yield f"{key}: {holds} instead of {wanted}"
