"""What a running call can learn about itself and its process."""

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from distexec.settings import Settings
    from distexec.store.endpoint import Endpoint
    from distexec.wire.blobs import Fetch
    from distexec.wire.records import Envelope, Reply
    from distexec.wire.seal import Seal


class CurrentCall(NamedTuple):
    """The call that the current thread is running."""

    #: The same in every attempt, unique in the cluster: an idempotency key.
    id: str
    #: 1 for the first execution.
    attempt: int


class Home(NamedTuple):
    """The cluster that this process is a worker of. It holds secrets: never pickle or log it."""

    endpoint: "Endpoint"
    #: Where wake-ups are published, with the password.
    broker_url: str
    seal: "Seal"
    settings: "Settings"
    node: str
    pid: int


class _Thread(threading.local):
    call: "Envelope | None" = None
    #: Its caller's.
    session = ""
    #: What came of a group's inputs so far: it is busy with the next one.
    results: list[Any] | None = None
    #: Sends a reply that is not the call's outcome (a logging record).
    post: "Callable[[Reply], None] | None" = None
    #: Brings a value that a handle stands for.
    fetch: "Fetch | None" = None


running = _Thread()

_home: Home | None = None


def current_call() -> CurrentCall | None:
    """The call that this thread is running; ``None`` outside of calls."""
    call, results = running.call, running.results
    if call is None:
        return None
    place = "" if results is None else f".{len(results)}"
    return CurrentCall(f"{running.session}-{call.number}{place}", call.attempt)


def settle_in(home: Home) -> None:
    """Say that this process is a worker of *home*."""
    global _home
    _home = home


def home() -> Home | None:
    """The cluster that this process is a worker of; ``None`` in any other process."""
    if _home is not None and _home.pid == os.getpid():
        return _home
    return None
