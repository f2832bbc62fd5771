"""Calls whose worker dies, and calls that the server lost without saying so."""

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator

import pytest

import distexec
from conftest import eventually
from distexec.settings import Settings
from distexec.store import keys
from distexec.store.link import Link
from distexec.store.port import ExecutorRef
from distexec.wire import places
from distexec.wire.codec import encode_replies
from distexec.wire.records import ExecutorSpec, Reply, ReplyKind, Sharing
from distexec.wire.seal import Direction
from distexec.wire.values import FunctionPacker, pack_arguments
from distexec.worker import logs, surroundings
from properties import calls
from properties.conftest import Gate, gate, ledger

from . import deeds

__all__ = ["gate", "ledger"]


@pytest.fixture(scope="module")
def one_slot() -> Iterator[distexec.LocalCluster]:
    """A cluster with a single slot."""
    with distexec.LocalCluster(1) as cluster:
        yield cluster


@pytest.fixture
def operator(one_slot: distexec.LocalCluster) -> Iterator[Link]:
    """A connection to its server."""
    link = Link(one_slot.endpoint, Settings())
    yield link
    link.close()


def test_a_call_knows_its_id_and_its_attempt(one_slot: distexec.LocalCluster, ledger: str) -> None:
    """An idempotency key: what the first attempt did is found by it in the second."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        identity, attempt = executor.submit(deeds.die_first, ledger).result(timeout=25)

    assert attempt == 2
    assert calls.read_ledger(ledger) == [f"{identity} 1", f"{identity} 2"]


def lose_an_entry(link: Link, ref: ExecutorRef) -> None:
    """A replica that lagged took over: the last entry is not there, and connections are new."""
    stream = keys.calls(ref, "distexec")
    newest = eventually(lambda: link.call("XREVRANGE", stream, "+", "-", "COUNT", 1))
    assert link.call("XDEL", stream, newest[0][0]) == 1
    link.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def lose_a_second(link: Link, ref: ExecutorRef) -> None:
    """A snapshot was restored: the server knows an earlier beat than it acknowledged."""
    link.call("SET", keys.session(ref.session), "0", "KEEPTTL")


def lose_a_stream(link: Link, ref: ExecutorRef) -> None:
    """It was evicted: the server's policy allows that."""
    link.call("DEL", keys.calls(ref, "distexec"))
    link.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@pytest.mark.parametrize("lose", [lose_an_entry, lose_a_second, lose_a_stream])
def test_an_entry_that_the_server_lost_is_sent_again(
    one_slot: distexec.LocalCluster,
    operator: Link,
    gate: Gate,
    ledger: str,
    lose: Callable[[Link, ExecutorRef], None],
) -> None:
    """It was acknowledged, and is not there: only its caller can know."""
    with distexec.ProcessPoolExecutor(1, cluster=one_slot) as executor:
        futures = [executor.submit(deeds.work, ledger, gate.path, n) for n in range(4)]
        eventually(futures[0].running)
        assert executor._channel is not None
        session = executor._channel.session
        eventually(lambda: session.store._acknowledged > 0)  # type: ignore[attr-defined]

        lose(operator, executor._channel.ref)

        gate.open()
        assert [future.result(timeout=25) for future in futures] == [0, 1, 2, 3]
        assert executor.statistics().done == 4


def test_a_repeated_reply_logs_once(
    one_slot: distexec.LocalCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """A lease repeats what it does not know to be heard; its records would be in the log twice."""
    record = logging.makeLogRecord({"name": "their.log", "msg": "once", "levelno": logging.ERROR})
    fields = {name: getattr(record, name) for name in logs._FIELDS} | {"msg": "once"}
    reply = Reply(0, ReplyKind.LOG, 0, 0.0, 0.0, json.dumps(fields).encode())
    with distexec.DistributedExecutor(1, cluster=one_slot) as executor:
        executor.submit(calls.nothing).result(timeout=20)
        assert executor._channel is not None
        session = executor._channel.session
        place = places.reply(session.name)
        frame = session.seal.seal(Direction.REPLY, place, encode_replies([reply]))

        session._collector._receive(frame)
        session._collector._receive(frame)

    assert [each.getMessage() for each in caplog.records if each.name == "their.log"] == ["once"]


def test_a_worker_remembers_so_many_initializers(
    monkeypatch: pytest.MonkeyPatch, ledger: str
) -> None:
    """It may serve executors for months; those that it served last are not prepared again."""
    monkeypatch.setattr(surroundings, "MOST_EXECUTORS", 2)
    monkeypatch.setattr(surroundings, "_initialised", OrderedDict())

    def prepare(executor: str) -> None:
        spec = ExecutorSpec(
            limit=1,
            sharing=Sharing.NEVER,
            initializer=FunctionPacker().pack(calls.note)[1],
            initargs=pack_arguments((ledger, executor), {}),
            log_level=logging.WARNING,
            surroundings=None,
            calls_per_child=None,
        )
        assert surroundings.prepare(ExecutorRef("session", executor), spec) is None

    for executor in ("1", "2", "1", "3", "1", "3"):
        prepare(executor)

    assert calls.read_ledger(ledger) == ["1", "2", "3"]
    assert len(surroundings._initialised) == 2
