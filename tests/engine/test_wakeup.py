"""Wake-ups reach the broker signed and in bounded time, and leave nothing open."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from noderig import SOURCE, Server, running_server

from distexec.engine.wakeup import WakeUps
from distexec.errors import ClusterUnavailable, FrameRejected
from distexec.settings import Settings
from distexec.wire import places
from distexec.wire.seal import Direction, Seal


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the module: each test has a queue of its own."""
    with running_server() as made:
        yield made


@pytest.fixture
def wake_ups(server: Server) -> Iterator[WakeUps]:
    """A publisher, closed afterwards."""
    made = WakeUps(server.endpoint.broker_url(), server.seal, server.settings)
    yield made
    made.close()


def test_a_wake_up_is_a_celery_message_signed_for_its_queue(
    server: Server, wake_ups: WakeUps
) -> None:
    """Any Celery worker understands it, and only a holder of the secret can have written it."""
    wake_ups.send("signed", 2)

    messages = [json.loads(text) for text in server.ask("LRANGE", "signed", 0, -1)]
    (argument,), keywords, _ = json.loads(base64.b64decode(messages[0]["body"]))
    frame = base64.b64decode(argument)
    body = server.seal.open(Direction.CONTROL, places.wake_up("signed"), frame)

    assert len({message["headers"]["id"] for message in messages}) == 2
    assert messages[0]["headers"]["task"] == "distexec.lease"
    assert json.loads(bytes(body)) == {"queue": "signed"}
    assert keywords == {}
    with pytest.raises(FrameRejected):
        Seal(b"another" * 5).open(Direction.CONTROL, places.wake_up("signed"), frame)
    with pytest.raises(FrameRejected):
        server.seal.open(Direction.CONTROL, places.wake_up("elsewhere"), frame)


def test_repeated_wake_ups_do_not_pile_up(server: Server, wake_ups: WakeUps) -> None:
    """While every slot is busy for an hour, an executor that wants more repeats what it asked."""
    for _ in range(10):
        wake_ups.send("busy", 5, again=True)
    assert server.ask("LLEN", "busy") == 5

    wake_ups.send("busy", 1)
    assert server.ask("LLEN", "busy") == 6


def test_many_threads_may_send(server: Server, wake_ups: WakeUps) -> None:
    """Dispatchers of several executors share one publisher."""
    threads = [threading.Thread(target=wake_ups.send, args=("threads", 10)) for _ in range(5)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert server.ask("LLEN", "threads") == 50


def test_closing_leaves_no_descriptor_and_no_thread(server: Server, wake_ups: WakeUps) -> None:
    """A program opens and closes clusters as often as it likes."""
    wake_ups.send("closing")
    wake_ups.close()
    descriptors, threads = os.listdir("/proc/self/fd"), threading.active_count()

    for _ in range(3):
        wake_ups.send("closing")
        wake_ups.close()

    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
    assert threading.active_count() == threads


def test_a_connection_that_the_server_closed_is_replaced(server: Server, wake_ups: WakeUps) -> None:
    """Servers close idle connections; the next demand must not fail for it."""
    wake_ups.send("idle")
    server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    wake_ups.send("idle")

    assert server.ask("LLEN", "idle") == 2


def test_a_broker_that_is_not_there_is_reported_soon() -> None:
    """kombu alone would try for ever."""
    wake_ups = WakeUps("redis+socket:///nowhere/server.sock", Seal(b"x" * 32))
    started = time.monotonic()

    with pytest.raises(ClusterUnavailable, match="broker"):
        wake_ups.send("any")

    assert time.monotonic() - started < 2
    wake_ups.close()


def test_a_broker_that_does_not_answer_is_reported_in_time(server: Server) -> None:
    """A frozen server, or a connection cut in the middle, must not hang a dispatcher."""
    settings = Settings(connect_seconds=0.2)
    wake_ups = WakeUps(server.endpoint.broker_url(), server.seal, settings)
    wake_ups.send("frozen")
    server.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()

    try:
        with pytest.raises(ClusterUnavailable):
            wake_ups.send("frozen")
    finally:
        server.process.send_signal(signal.SIGCONT)

    assert time.monotonic() - started < 5
    wake_ups.close()


def test_a_wrong_password_is_reported_without_it(server: Server) -> None:
    """What ends in a log must not hold what is tried."""
    wake_ups = WakeUps(f"redis+socket://:tr1ed@{server.endpoint.path}", server.seal)

    with pytest.raises(ClusterUnavailable) as caught:
        wake_ups.send("any")

    assert "tr1ed" not in str(caught.value)
    wake_ups.close()


def test_a_caller_needs_no_celery(server: Server) -> None:
    """Its import would take longer than a first call."""
    program = (
        "import sys\n"
        "from distexec.engine.wakeup import WakeUps\n"
        "from distexec.wire.seal import Seal\n"
        "assert not {'celery', 'kombu', 'redis'} & set(sys.modules)\n"
        f"WakeUps({server.endpoint.broker_url()!r}, Seal(b'x' * 32)).send('light')\n"
        "assert 'celery' not in sys.modules\n"
    )

    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": SOURCE}
    )
