"""What was captured on the server and is written there again has no effect.

- calls: the server refuses an entry that is not above the stream's last; elsewhere, and in another
  stream, the frame does not open;
- replies: a call is settled once, by the reply to the execution that it waits for;
- demands: they carry the server's time, and are refused when their caller must have renewed them;
- commands: a node obeys each once, and none that is older than itself;
- wake-ups: they make a slot look at the demand, and run nothing;
- functions, specs and blobs: signed for one executor and name, where they can replace themselves
  only.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import distexec
from conftest import eventually
from distexec.engine.wakeup import WakeUps
from distexec.settings import Settings
from distexec.store import keys
from distexec.store.port import ExecutorRef
from distexec.wire import places
from distexec.wire.seal import Direction, Seal
from properties import calls

from .canary import Intruder

REPLAYS = 100


@pytest.fixture(scope="module")
def cluster() -> Iterator[distexec.LocalCluster]:
    """A real server with a node of two slots."""
    with distexec.LocalCluster(2) as cluster:
        yield cluster


@pytest.fixture
def intruder(cluster: distexec.LocalCluster) -> Iterator[Intruder]:
    """Somebody who reads everything on the server, and writes it again."""
    intruder = Intruder(cluster.endpoint)
    yield intruder
    intruder.close()


def session_of(intruder: Intruder) -> str:
    (key,) = intruder.keys("dx:{*}:session")
    return key.partition("{")[2].partition("}")[0]


def test_replayed_calls_and_replies_run_and_settle_nothing(
    cluster: distexec.LocalCluster, intruder: Intruder, tmp_path: Path
) -> None:
    """Each captured frame a hundred times, at its own place and at others."""
    ledger, gate = str(tmp_path / "ledger"), str(tmp_path / "gate")
    with distexec.ProcessPoolExecutor(2, cluster=cluster) as executor:
        held = [executor.submit(calls.wait_for, gate, n, ledger) for n in range(2)]
        eventually(lambda: len(calls.read_ledger(ledger)) == 2, 20)
        ref = ExecutorRef(session_of(intruder), "1")
        stream, replies = keys.calls(ref, "distexec"), keys.replies(ref.session)
        captured = [fields[1] for _, fields in intruder.run("XRANGE", stream, "-", "+")]
        assert captured

        for number, frame in enumerate(captured * REPLAYS):
            intruder.run("XADD", stream, f"{number % 2 + 1}-0", "f", frame)
            intruder.run("XADD", stream, f"1-{number + 1}", "f", frame)
            intruder.run("XADD", replies, "*", "f", frame)
        assert executor.submit(calls.square, 3) is not None
        Path(gate).touch()

        assert [future.result(20) for future in held] == [0, 1]
        assert executor.submit(calls.square, 4).result(20) == 16
        assert executor.statistics().refused >= REPLAYS
    assert sorted(calls.read_ledger(ledger)) == ["0", "1"]


def test_replayed_wake_ups_run_nothing(
    cluster: distexec.LocalCluster, intruder: Intruder, tmp_path: Path
) -> None:
    """Anybody who has seen one may send it as often as he likes."""
    ledger = str(tmp_path / "ledger")
    with distexec.ProcessPoolExecutor(1, cluster=cluster) as executor:
        assert executor.submit(calls.noted, ledger, 1).result(20) == 1
        wake_ups = WakeUps(cluster.endpoint.broker_url(), Seal(cluster.secret), Settings())
        wake_ups.send("distexec", REPLAYS)
        wake_ups.close()
        eventually(lambda: intruder.run("LLEN", "distexec") == 0, 20)

        assert executor.submit(calls.noted, ledger, 2).result(20) == 2
    assert calls.read_ledger(ledger) == ["1", "2"]


def test_a_session_that_ended_cannot_be_revived(
    cluster: distexec.LocalCluster, intruder: Intruder, tmp_path: Path
) -> None:
    """All its keys, written again as they were: its demand is too old, and nothing runs."""
    ledger, gate = str(tmp_path / "ledger"), str(tmp_path / "gate")
    settings = Settings.from_environment()
    with distexec.ProcessPoolExecutor(1, cluster=cluster) as executor:
        held = executor.submit(calls.wait_for, gate, 1, ledger)
        eventually(lambda: calls.read_ledger(ledger), 20)
        ref = ExecutorRef(session_of(intruder), "1")
        own = intruder.keys(f"dx:{{{ref.session}}}:*")
        copies = {key: intruder.run("DUMP", key) for key in own if not key.endswith(":leases")}
        demand = intruder.run("HGET", keys.demand("distexec"), f"{ref.session} 1")
        (entry,) = intruder.run("XRANGE", keys.calls(ref, "distexec"), "-", "+")
        Path(gate).touch()
        assert held.result(20) == 1
    assert demand and calls.read_ledger(ledger) == ["1"]

    # What the recording shows when it is older than a session may be silent.
    seal, place = Seal(cluster.secret), places.demand("distexec", ref.session, "1")
    fields = json.loads(bytes(seal.open(Direction.CONTROL, place, demand)))
    fields["at"] -= settings.session_expiry_seconds + 1
    old = seal.seal(Direction.CONTROL, place, json.dumps(fields).encode())
    for key, copy in copies.items():
        intruder.run("RESTORE", key, 0, copy, "REPLACE")
    stream = keys.calls(ref, "distexec")
    intruder.run("DEL", stream)
    intruder.run("XGROUP", "CREATE", stream, keys.GROUP, "0", "MKSTREAM")
    intruder.run("XADD", stream, entry[0], *entry[1])
    intruder.run("HSET", keys.demand("distexec"), f"{ref.session} 1", old)
    wake_ups = WakeUps(cluster.endpoint.broker_url(), seal, settings)
    wake_ups.send("distexec", 4)
    wake_ups.close()

    eventually(lambda: not intruder.run("HEXISTS", keys.demand("distexec"), f"{ref.session} 1"))
    assert intruder.run("XLEN", stream) == 1
    assert calls.read_ledger(ledger) == ["1"]
    intruder.run("DEL", *intruder.keys(f"dx:{{{ref.session}}}:*"))


def test_a_replayed_command_is_obeyed_once(
    cluster: distexec.LocalCluster, intruder: Intruder
) -> None:
    """An order to end a process would end the one that took its place; and none is needed twice."""
    stream = keys.node_commands(cluster.node)
    cluster.grow(3)
    record = keys.node_record(cluster.node)
    seal = Seal(cluster.secret)

    def slots() -> int:
        frame = intruder.run("HGET", record, "frame").partition(b"\n")[2]
        body = seal.open(Direction.CONTROL, places.node(cluster.node), frame)
        return int(json.loads(bytes(body))["slots"])

    def refused() -> int:
        frame = intruder.run("HGET", record, "frame").partition(b"\n")[2]
        body = seal.open(Direction.CONTROL, places.node(cluster.node), frame)
        return int(json.loads(bytes(body))["refused"])

    eventually(lambda: slots() == 3, 20)
    seconds, microseconds = intruder.run("TIME")
    now = int(seconds) + int(microseconds) / 1e6
    order = json.dumps({"do": "resize", "slots": 2, "at": now}).encode()
    frame = seal.seal(Direction.CONTROL, places.command(cluster.node), order)
    intruder.run("XADD", stream, "*", "f", frame)
    eventually(lambda: slots() == 2, 20)
    cluster.grow(3, again=True)
    eventually(lambda: slots() == 3, 20)
    before = refused()

    for _ in range(REPLAYS):
        intruder.run("XADD", stream, "*", "f", frame)

    eventually(lambda: refused() >= before + REPLAYS, 20)
    assert slots() == 3


def test_an_order_to_its_predecessor_is_not_the_nodes() -> None:
    """A node that was drained and started again would end at once if the order were repeated."""
    from distexec.engine.membership import Membership
    from distexec.engine.orders import Orders
    from distexec.store.endpoint import Endpoint

    seal = Seal(b"a secret of thirty-two bytes.....")
    endpoint = Endpoint.parse("redis://127.0.0.1:1")
    membership = Membership(endpoint=endpoint, seal=seal, settings=Settings())
    obeyed: list[object] = []
    started = time.monotonic()
    orders = Orders("n@h", membership, obey=obeyed.append, clock=time.monotonic)

    def order(at: float) -> bytes:
        body = json.dumps({"do": "drain", "at": at}).encode()
        return seal.seal(Direction.CONTROL, places.command("n@h"), body)

    orders._judge([order(started - 10), order(time.monotonic() + 0.5)])

    assert len(obeyed) == 1
