"""Publishes wake-ups: the Celery messages that make a slot look at a queue's demand."""

import base64
import contextlib
import json
import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

from distexec.engine.membership import transport_options
from distexec.errors import ClusterUnavailable
from distexec.settings import Settings
from distexec.store.endpoint import DEFAULT_PORT, Endpoint
from distexec.wire import places
from distexec.wire.seal import Direction, Seal

if TYPE_CHECKING:
    from kombu import Connection, Producer

T = TypeVar("T")

#: Name of the one Celery task of this package.
LEASE_TASK: Final = "distexec.lease"


def pack_wake_up(seal: Seal, queue: str) -> str:
    """Return the argument of a lease task on *queue*."""
    body = json.dumps({"queue": queue}).encode()
    frame = seal.seal(Direction.CONTROL, places.wake_up(queue), body)
    return base64.b64encode(frame).decode("ascii")


def other_broker(url: str, endpoint: Endpoint) -> str:
    """A broker's URL without user and password; empty if it is the cluster's own server."""
    name = _name_of(url)
    return "" if name == _name_of(endpoint.broker_url()) else name


def _name_of(url: str) -> str:
    parts = urlsplit(url)
    host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    path = parts.path
    if host and parts.scheme in ("redis", "rediss"):
        port, path = port or f":{DEFAULT_PORT}", "/" + (path.strip("/") or "0")
    return urlunsplit((parts.scheme, host + port, path, "", ""))


class WakeUps:
    """A connection to the broker, made when first needed. Thread-safe.

    Messages are written in Celery's protocol 2 by kombu alone: a caller needs no Celery, whose
    import would take longer than its first call.

    Args:
        broker_url: As kombu wants it.
    """

    def __init__(self, broker_url: str, seal: Seal, settings: Settings | None = None) -> None:
        self._broker_url, self._seal = broker_url, seal
        self._settings = settings or Settings()
        # Held while sending: a channel serves one thread at a time.
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    def send(self, queue: str, count: int = 1, *, again: bool = False) -> None:
        """Wake *count* slots of *queue*.

        Blocks for the time that the broker needs, at most twice the time that the settings allow
        for connecting and for answering.

        Args:
            again: Count those that still wait at the broker as sent. While all slots are busy for
                an hour, repeating would fill it.

        Raises:
            ClusterUnavailable: The broker does not take the messages.
        """
        argument = pack_wake_up(self._seal, queue)
        with self._lock:
            if again:
                count -= self._repeatedly(lambda producer: _waiting(producer.channel, queue))
            for _ in range(count):
                self._repeatedly(lambda producer: _publish(producer, queue, argument))

    def close(self) -> None:
        """Close the connection; the next `send` would open another."""
        with self._lock:
            self._disconnect()

    def _repeatedly(self, action: Callable[["Producer"], T]) -> T:
        try:
            return self._once(action)
        except Exception:
            # An idle connection may have been closed by the server long ago.
            self._disconnect()
            try:
                return self._once(action)
            except Exception as error:
                self._disconnect()
                raise ClusterUnavailable(f"the broker takes no wake-ups: {error}") from error

    def _once(self, action: Callable[["Producer"], T]) -> T:
        if self._producer is None:
            self._producer = self._connect()
        return action(self._producer)

    def _connect(self) -> "Producer":
        from kombu import Connection, Producer

        self._connection = Connection(
            self._broker_url,
            connect_timeout=self._settings.connect_seconds,
            transport_options=transport_options(self._settings),
        )
        # By default a connection is retried after two seconds, under the lock.
        self._connection.ensure_connection(
            max_retries=1, interval_start=0, interval_step=0, interval_max=0
        )
        return Producer(self._connection.channel(), auto_declare=False)

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(Exception):  # It may be what failed.
                connection.release()


def _publish(producer: "Producer", queue: str, argument: str) -> None:
    identity = str(uuid.uuid4())
    producer.publish(
        ((argument,), {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}),
        routing_key=queue,
        serializer="json",
        correlation_id=identity,
        headers={
            "lang": "py", "task": LEASE_TASK, "id": identity, "root_id": identity,
            "parent_id": None, "group": None, "retries": 0, "timelimit": [None, None],
            "eta": None, "expires": None, "argsrepr": "()", "kwargsrepr": "{}",
            "ignore_result": True,
        },
    )  # fmt: skip


def _waiting(channel: Any, queue: str) -> int:
    """How many messages of a queue nobody has taken; 0 where the broker is not Redis."""
    return int(channel.client.llen(queue)) if hasattr(channel, "client") else 0
