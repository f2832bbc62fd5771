"""Records as they were written, or as an enemy wrote them, become one report."""

import json
from typing import Any

import pytest

from distexec.client.nodes import read_node
from distexec.monitor.report import (
    ExecutorReport,
    NodeReport,
    read_demand,
    report_node,
    summarise_queues,
)
from distexec.monitor.tables import duration, size
from distexec.store.port import ExecutorRef, NodeLease, NodeStatus
from distexec.wire import places
from distexec.wire.seal import Direction, Seal

SEAL, FOREIGN = Seal(b"s" * 32), Seal(b"f" * 32)
REF = ExecutorRef("session", "1")


def node_frame(seal: Seal, name: str = "n1", **record: Any) -> bytes:
    """A node's record, as its heart writes it."""
    public = {"host": "h", "python": "3.11", "version": "1", "wire": 1, "key": seal.key_id.hex()}
    inner = {"state": "serving", "slots": 4, "queues": ["a"], "pid": 7, "children": []}
    inner |= {**public, **record}
    body = json.dumps(inner).encode()
    sealed = seal.seal(Direction.CONTROL, places.node(name), body)
    return json.dumps(public).encode() + b"\n" + sealed


def executor(queue: str, wanted: int, leases: int) -> ExecutorReport:
    return ExecutorReport(
        session="s", executor="1", queue=queue, name="", caller="", wanted=wanted, limit=9,
        leases=leases, outstanding=wanted,
    )  # fmt: skip


def test_node_tells_its_slots_and_its_load() -> None:
    """Two leases in one process, on threads, keep one slot busy."""
    load = {"cpu": 0.5, "processors": 2}
    rates = {"calls_per_second": 12.5, "run_p50": 0.1, "run_p95": None}
    status = NodeStatus("n1", 100.0, node_frame(SEAL, load=load, rates=rates))

    leases = [NodeLease(str(n), pid, REF) for n, pid in enumerate([11, 11, 12])]

    node = report_node(read_node(status, SEAL), status, 101.5, leases)

    assert (node.state, node.slots, node.busy, node.leases) == ("serving", 4, 2, 3)
    assert node.age == 1.5
    assert node.load == load
    assert (node.calls_per_second, node.run_p50, node.run_p95) == (12.5, 0.1, None)
    assert node.serves == {"session/1": 3}
    assert node.problem is None


@pytest.mark.parametrize(
    ("frame", "seal", "problem"),
    [
        (node_frame(FOREIGN), SEAL, "refused"),
        (node_frame(SEAL, name="n2"), SEAL, "refused"),
        (node_frame(SEAL), None, "none is known here"),
        (b"{}\nnothing", SEAL, "cannot be read"),
        (b"\xff\xfe", SEAL, "cannot be read"),
        (b"[]\n", SEAL, "cannot be read"),
        (node_frame(SEAL, slots="many"), SEAL, "cannot be read"),
    ],
    ids=["other-secret", "other-node's", "no-secret", "garbage", "bytes", "list", "bad-field"],
)
def test_record_that_cannot_be_read_is_a_problem_of_its_node(
    frame: bytes, seal: Seal | None, problem: str
) -> None:
    """An operator looks just when something is wrong: the look itself must not fail then."""
    status = NodeStatus("n1", 0.0, frame)

    node = report_node(read_node(status, seal), status, 1.0, [])

    assert node.state == "unknown"
    assert node.problem is not None
    assert problem in node.problem


def test_foreign_demand_is_left_out() -> None:
    """Who does not have the secret cannot make queues look full."""
    body = json.dumps({"wanted": 3, "limit": 8}).encode()
    place = places.demand("a", *REF)

    read = read_demand("a", REF, SEAL.seal(Direction.CONTROL, place, body), 2, SEAL)

    assert read is not None
    assert (read.wanted, read.limit, read.leases) == (3, 8, 2)
    assert read_demand("a", REF, FOREIGN.seal(Direction.CONTROL, place, body), 0, SEAL) is None
    assert read_demand("b", REF, SEAL.seal(Direction.CONTROL, place, body), 0, SEAL) is None
    assert read_demand("a", REF, b"", 0, SEAL) is None


def test_queues_are_summed_over_nodes_and_executors() -> None:
    """Queues without a server or without work show; a draining node is not free."""
    nodes = [
        NodeReport(name="1", age=0, state="serving", queues=("a", "b"), slots=4, busy=1),
        NodeReport(name="2", age=0, state="draining", queues=("a",), slots=2, busy=0),
    ]

    a, b, c = summarise_queues(
        nodes, [executor("a", 5, 2), executor("a", 1, 1), executor("c", 1, 0)]
    )

    assert (a.name, a.nodes, a.slots, a.free, a.executors, a.wanted, a.leases) == (
        "a", 2, 6, 3, 2, 6, 3,
    )  # fmt: skip
    assert (b.name, b.free, b.executors) == ("b", 3, 0)
    assert (c.name, c.nodes, c.wanted) == ("c", 0, 1)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1536, "1.5 KiB"), (200 * 2**20, "200 MiB"), (2**50, "1024 TiB")],
)
def test_sizes_are_short(count: int, text: str) -> None:
    """Three digits are what people read."""
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2e-05, "20 us"), (0.0123, "12 ms"), (0.45, "450 ms"), (1.26, "1.3 s"), (4096, "4,096 s")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    """Microseconds and hours stand in one column."""
    assert duration(seconds) == text
