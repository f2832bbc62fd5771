"""What the keeper sees of running calls, without a cluster."""

import threading
import time
from typing import Any, cast

import pytest

from distexec.scheduling.run_times import RunTimes
from distexec.scheduling.sharing import LEARNED_SECONDS
from distexec.wire.records import CallFlag, Envelope, ExecutorSpec, Sharing
from distexec.worker.hands import Running, Taken
from distexec.worker.runners import Runners


def running(started_at: float) -> Running:
    """A call of this thread, which does not compute while nobody looks."""
    call = Envelope(1, bytes(16), 1, CallFlag.NONE, b"")
    taken = Taken(1, call, started_at, runs_alone=False, is_short=False)
    return Running(taken, started_at, threading.get_ident())


@pytest.mark.sources
def test_calls_are_watched_though_another_has_just_started() -> None:
    """Of many waiting calls one has always just started: the others must be known to wait by then,
    or no look would ever find all of them waiting."""
    spec = cast(ExecutorSpec, _Spec())
    runners = Runners(cast(Any, None), spec, threading.Condition(), lambda: None)
    now = time.monotonic()
    old, new = running(now - 1), running(now)

    assert runners.room_for([new, old], RunTimes(), now) == 0
    assert runners.room_for([new, old], RunTimes(), now + LEARNED_SECONDS / 2) == 0
    assert runners.room_for([new, old], RunTimes(), now + 10) == 2


class _Spec:
    sharing, limit = Sharing.LEARNED, 64
