"""The sessions of this process, and what happens to them when it forks or ends."""

import os
import threading
from collections.abc import Hashable

from distexec.client.channel import Channel
from distexec.client.cluster import Cluster
from distexec.client.session import Session
from distexec.wire.records import ExecutorSpec


class _Registry:
    """Sessions by their cluster's key."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sessions: dict[Hashable, Session] = {}
        self.exiting = False
        self.pid = os.getpid()


_registry = _Registry()


def open_channel(cluster: Cluster, spec: ExecutorSpec) -> Channel:
    """Join the session of *cluster*, or open one.

    Raises:
        ClusterError: The cluster cannot be reached, refuses, or does not fit.
        RuntimeError: The interpreter is shutting down.
    """
    check_running()
    with _registry.lock:
        session = _registry.sessions.get(cluster.key)
        channel = None if session is None else session.add_channel(spec)
        if channel is None:
            session = _registry.sessions[cluster.key] = Session(cluster, _forget)
            channel = session.add_channel(spec)
        if channel is None:
            raise RuntimeError("the session closed while an executor was opened")
        return channel


def check_running() -> None:
    """Refuse work that nobody would wait for.

    Raises:
        RuntimeError: As the standard library's executors do.
    """
    if _registry.exiting:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")


def _forget(session: Session) -> None:
    # Not under the lock: another executor may be waiting for this session's end there.
    if _registry.sessions.get(session.cluster.key) is session:
        del _registry.sessions[session.cluster.key]


def _finish_pending_work() -> None:
    """At interpreter exit: complete what was submitted, as the standard library does."""
    _registry.exiting = True
    if _registry.pid != os.getpid():
        return
    for session in list(_registry.sessions.values()):
        for channel in session.channels():
            channel.shut_down()
            channel.join()


def _forget_in_child() -> None:
    """A forked child has none of the threads: its executors are its own, opened anew."""
    global _registry
    _registry = _Registry()


# Runs before the interpreter joins its threads, while threads can still be started; atexit's
# functions run after that. The standard library's pools register in the same way.
threading._register_atexit(_finish_pending_work)  # type: ignore[attr-defined]
os.register_at_fork(after_in_child=_forget_in_child)
