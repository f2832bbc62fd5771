"""What a worker must know of the cluster that it serves."""

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from distexec.errors import ClusterUnavailable, SecretError
from distexec.settings import Settings, WorkerOptions, variables
from distexec.store.endpoint import Endpoint
from distexec.wire.seal import Seal


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A worker's place in a cluster. It holds the secret's keys: never pickled, never logged."""

    endpoint: Endpoint
    seal: Seal
    settings: Settings
    #: Where wake-ups are published, in kombu's form; empty: on the cluster's own server.
    broker: str = ""
    #: Largest part of the slots that executors may hold; ``None``: all of them.
    share: float | None = None
    #: The worker belongs to another application: its signals, sockets and logging are not ours.
    is_guest: bool = False
    #: A supervisor starts the node again, and keeps a terminal's Ctrl-C away from its children.
    is_supervised: bool = False
    #: How its node works.
    options: WorkerOptions = field(default_factory=WorkerOptions)

    @property
    def broker_url(self) -> str:
        """Where Celery connects to; with the password."""
        return self.broker or self.endpoint.broker_url()

    @classmethod
    def of_environment(
        cls, url: str | None = None, environment: Mapping[str, str] | None = None, **how: Any
    ) -> "Membership":
        """Join the cluster at *url*, else at ``DISTEXEC_URL``; *how* are other fields.

        Raises:
            ClusterUnavailable: No cluster is named.
            SecretError: There is no secret.
            ValueError: The URL or a setting cannot be read.
        """
        from distexec.wire import secret

        said = variables(environment)
        url = url or said.get("DISTEXEC_URL")
        if not url:
            raise ClusterUnavailable("no cluster is named: set DISTEXEC_URL, as redis://host:6379")
        endpoint = Endpoint.parse(url)
        told = dict(
            os.environ if environment is None else environment
        )  # As it is now: `hide_secrets` may change it.
        secrets = secret.load(environment, beside=endpoint.folder)
        if not secrets:
            raise SecretError(
                f"no secret for the cluster at {endpoint.display}: copy the key file of its "
                "callers, or make one for all with `distexec keygen`"
            )
        return cls(
            endpoint=endpoint,
            seal=Seal(*secrets, read_again=partial(secret.load, told, beside=endpoint.folder)),
            settings=Settings.from_environment(environment),
            broker=said.get("DISTEXEC_BROKER", ""),
            **how,
        )


def hide_secrets(environment: MutableMapping[str, str] = os.environ) -> None:
    """Take out of *environment* what this process knows by now, and no call or its children need.

    A key file's path stays: the file is protected by its mode.
    """
    environment.pop("DISTEXEC_SECRET", None)
    for name in ("DISTEXEC_URL", "DISTEXEC_BROKER"):
        # With a login it is one as a whole; calls know their cluster without it.
        if "@" in environment.get(name, ""):
            del environment[name]


def transport_options(settings: Settings) -> dict[str, Any]:
    """Return kombu's options for a server that may stall: by default it waits without end."""
    return {
        "visibility_timeout": 3600,
        "socket_timeout": 2 * settings.connect_seconds,
        "socket_connect_timeout": settings.connect_seconds,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "unacked_restore_throttle": 1,
    }
