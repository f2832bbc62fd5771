"""The in-memory cluster's slots: threads that are waited for when nobody needs them any more."""

import threading
from typing import Any

import pytest

from distexec.engine.threads import ThreadsCluster
from distexec.settings import Settings


class Serving:
    """A slot that serves until it may go."""

    def __init__(self) -> None:
        self.may_go = threading.Event()

    def serve(self) -> None:
        assert self.may_go.wait(20)


@pytest.fixture(name="serving")
def make_serving(monkeypatch: pytest.MonkeyPatch) -> Serving:
    serving = Serving()
    monkeypatch.setattr(ThreadsCluster, "_slot", lambda *_: serving)
    return serving


def slots() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "distexec-slot"]


def test_the_last_session_waits_for_the_slots(serving: Serving) -> None:
    """One that closes while the next one runs its calls would wait as long as these last."""
    cluster = ThreadsCluster(Settings())
    cluster.open("closing")
    cluster.open("next")
    cluster.wake("default", 2)

    cluster.release()
    assert len(slots()) == 2

    serving.may_go.set()
    cluster.release()
    assert not slots()


def test_a_slot_that_has_not_started_is_waited_for_too(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another session's, which is about to: to join it would be an error."""
    cluster = ThreadsCluster(Settings())
    cluster.open("only")
    serving.may_go.set()
    start = threading.Thread.start
    closing = threading.Thread(target=cluster.release)

    def start_late(thread: threading.Thread, *args: Any) -> None:
        if thread.name == "distexec-slot":
            start(closing)
            closing.join(0.1)
        start(thread, *args)

    monkeypatch.setattr(threading.Thread, "start", start_late)
    cluster.wake("default", 1)
    closing.join(20)
    assert not closing.is_alive()
    assert not slots()
