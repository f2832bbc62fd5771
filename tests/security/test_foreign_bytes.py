"""Foreign bytes in any key that we read are counted and put aside; work goes on beside them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery

import distexec
from conftest import eventually
from distexec.store import keys
from distexec.store.port import ExecutorRef
from distexec.wire import places
from distexec.wire.codec import encode_calls
from distexec.wire.records import WIRE_VERSION, Envelope
from distexec.wire.seal import Direction, Seal
from properties import calls

from . import deeds
from .canary import KINDS, Canary, Intruder

#: Keys of kombu's that a node reads beside ours.
BROKER_KEYS = (
    "distexec",
    "unacked",
    "unacked_index",
    "unacked_mutex",
    "_kombu.binding.distexec",
    "_kombu.binding_permanent.distexec",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[distexec.LocalCluster]:
    """A real server with a node of two slots."""
    with distexec.LocalCluster(2) as cluster:
        yield cluster


@pytest.fixture
def intruder(cluster: distexec.LocalCluster) -> Iterator[Intruder]:
    """Somebody with the server's password."""
    intruder = Intruder(cluster.endpoint)
    yield intruder
    intruder.close()


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    """What the intruder writes."""
    return Canary(tmp_path)


class Work:
    """A program that uses the cluster all the time, and two calls that last."""

    def __init__(self, cluster: distexec.LocalCluster, folder: Path) -> None:
        self.ledger, self.gate = str(folder / "ledger"), str(folder / "gate")
        self.executor = distexec.DistributedExecutor(4, cluster=cluster)
        self.lasting = [
            self.executor.submit(deeds.wait_quietly, self.gate, n, self.ledger) for n in range(2)
        ]
        eventually(lambda: len(calls.read_ledger(self.ledger)) >= 2, 20)
        self.rounds = 0
        self._stop = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        eventually(lambda: self.rounds, 20)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                results = list(self.executor.map(calls.square, range(20), timeout=30))
                assert results == [n * n for n in range(20)]
                self.rounds += 1
        except BaseException as error:
            self.failure = error

    def goes_on(self, rounds: int = 2) -> None:
        """Wait until it has done something more, all of it since now."""
        wanted = self.rounds + rounds
        eventually(lambda: self.failure or self.rounds >= wanted, 20)
        assert self.failure is None, self.failure

    def end(self) -> None:
        """Let everything complete, and see that it is right."""
        self._stop.set()
        Path(self.gate).touch()
        self._thread.join()
        assert self.failure is None, self.failure
        assert [future.result(30) for future in self.lasting] == [0, 1]
        self.executor.shutdown()


@pytest.fixture
def work(cluster: distexec.LocalCluster, tmp_path: Path) -> Iterator[Work]:
    """Work in progress, which must end well."""
    work = Work(cluster, tmp_path)
    try:
        yield work
    finally:
        work.end()


def keys_that_are_read(intruder: Intruder, cluster: distexec.LocalCluster) -> list[str]:
    """Every key of the session that works, of the node, and of the queue, there or not."""
    (session,) = intruder.keys("dx:{*}:session")
    own = session.removesuffix("session")
    node = f"dx:{{nodes}}:{cluster.node}:"
    return [
        *(own + name for name in ("session", "replies", "1:spec", "1:functions", "1:leases")),
        own + "1:calls:distexec",
        keys.demand("distexec"),
        "dx:{nodes}:names",
        *(node + name for name in ("record", "leases", "commands")),
        *BROKER_KEYS,
    ]


def node_pid(cluster: distexec.LocalCluster) -> int:
    """The node's main process, as it says itself."""
    (supervisor,) = [
        process
        for process in psutil.Process().children()
        if "distexec.engine.supervisor" in process.cmdline()
    ]
    (node,) = eventually(supervisor.children)
    return node.pid


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_another_type_stop_nobody(
    cluster: distexec.LocalCluster, intruder: Intruder, work: Work, canary: Canary, kind: str
) -> None:
    """Each command on such a key fails; the key is put aside, and what was lost is sent again."""
    pid = node_pid(cluster)
    refused = work.executor.statistics().refused

    for key in keys_that_are_read(intruder, cluster):
        if intruder.kind(key) != kind:
            intruder.replace(key, kind, canary.pickle)
    work.goes_on()

    # With the next beat: until then the work may have gone on with what it had.
    eventually(lambda: work.executor.statistics().refused > refused)
    work.goes_on()
    assert canary.is_silent() and node_pid(cluster) == pid


def test_junk_beside_ours_stops_nobody(
    cluster: distexec.LocalCluster, intruder: Intruder, work: Work, canary: Canary
) -> None:
    """In keys of the right type: fields, members and entries that nobody of us wrote."""
    pid = node_pid(cluster)

    for junk in (canary.pickle, b"", b"\xff\x00|||| ", b"1 2 3", b"{}"):
        for key in keys_that_are_read(intruder, cluster):
            if not key.endswith(":session"):
                intruder.add(key, junk)
        work.goes_on()

    assert work.executor.statistics().refused > 0
    assert work.executor.statistics().failed == 0
    assert canary.is_silent() and node_pid(cluster) == pid


def test_celerys_remote_control_is_deaf(cluster: distexec.LocalCluster, intruder: Intruder) -> None:
    """It is unsigned: whoever can publish could shut every worker down."""
    pid = node_pid(cluster)
    intruder.run("DEL", *BROKER_KEYS)  # The control's own kombu stumbles over junk in them.
    control = Celery(broker=cluster.endpoint.broker_url()).control

    control.broadcast("shutdown", reply=False)
    replies = control.ping(timeout=0.5)

    with distexec.DistributedExecutor(1, cluster=cluster) as executor:
        assert executor.submit(calls.square, 3).result(20) == 9
    assert replies == [] and node_pid(cluster) == pid


def forgeries(secret: bytes, canary: Canary, direction: Direction, place: bytes) -> list[bytes]:
    """Frames with the canary in them, each with one thing wrong."""
    seal, foreign = Seal(secret), Seal(b"somebody else's secret, as long")
    payload = b"".join(encode_calls([Envelope(1, b"i" * 16, 1, 0, canary.pickle)]))
    good = seal.seal(direction, place, payload)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    other = Direction((direction + 1) % len(Direction))
    # Signed as a newer or older version of ours would sign it.
    aged = bytearray(good)
    aged[2] = WIRE_VERSION + 1
    return [
        canary.pickle,
        foreign.seal(direction, place, payload),
        foreign.seal(direction, place, canary.pickle),
        bytes(flipped),
        good[:-1],
        good[: len(good) // 2],
        seal.seal(other, place, canary.pickle),
        seal.seal(direction, place + b"x", canary.pickle),
        seal.seal(direction, b"", canary.pickle),
        bytes(aged),
        good + bytes(2**19),
    ]


def test_forged_frames_are_never_loaded(
    cluster: distexec.LocalCluster, intruder: Intruder, work: Work, canary: Canary
) -> None:
    """Wrong key, damaged, cut, of another direction, place or version, too long; everywhere."""
    pid, refused = node_pid(cluster), work.executor.statistics().refused
    (key,) = intruder.keys("dx:{*}:session")
    session = key.partition("{")[2].partition("}")[0]
    ref = ExecutorRef(session, "1")

    def forge(direction: Direction, place: bytes) -> list[bytes]:
        return forgeries(cluster.secret, canary, direction, place)

    for frame in forge(Direction.REPLY, places.reply(session)):
        intruder.run("XADD", keys.replies(session), "*", "f", frame)
    replies = len(forge(Direction.REPLY, b""))
    eventually(lambda: work.executor.statistics().refused >= refused + replies, 20)
    work.goes_on()

    for frame in forge(Direction.CALL, places.call(session, "1", "distexec", 10**6)):
        intruder.run("XADD", keys.calls(ref, "distexec"), "*", "f", frame)
    work.goes_on()
    (function_id, *_) = intruder.run("HKEYS", keys.functions(ref))
    for frame in forge(Direction.STORED, places.function(session, "1", function_id)):
        intruder.run("HSET", keys.functions(ref), function_id, frame)
    for frame in forge(Direction.STORED, places.spec(session, "1")):
        intruder.run("SET", keys.spec(ref), frame, "KEEPTTL")
    for frame in forge(Direction.CONTROL, places.demand("distexec", session, "1")):
        intruder.run("HSET", keys.demand("distexec"), f"{session} 1", frame)
    for frame in forge(Direction.CONTROL, places.command(cluster.node)):
        intruder.run("XADD", keys.node_commands(cluster.node), "*", "f", frame)
    for frame in forge(Direction.CONTROL, places.node(cluster.node)):
        intruder.run("HSET", keys.node_record(cluster.node), "frame", b"{}\n" + frame)
    for frame in forge(Direction.CONTROL, places.wake_up("distexec")):
        intruder.run("LPUSH", "distexec", frame)
    work.goes_on()

    assert canary.is_silent() and node_pid(cluster) == pid
