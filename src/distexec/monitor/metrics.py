"""Figures for Prometheus: read from the server when they are asked for, kept nowhere.

Callers and nodes add what happened to the cluster's totals, so that counts outlive them, and
neither needs a port of its own. Labels are queues, states and outcomes; ids are none.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from distexec.errors import ClusterError
from distexec.monitor.observer import Observer
from distexec.monitor.report import ClusterReport
from distexec.scheduling.histogram import BUCKETS, PER_DOUBLING, bound, from_counts

#: The doublings at which a histogram's buckets are told, from 0.12 ms on.
_BOUNDS: Final = range(4 * PER_DOUBLING - 1, BUCKETS - 1, PER_DOUBLING)

_QUEUE_GAUGES: Final[Mapping[str, tuple[str, Callable[..., float]]]] = {
    "depth": ("Calls that are not settled", lambda queue: queue.depth),
    "executors": ("Executors that ask for leases", lambda queue: queue.executors),
    "wanted": ("Leases that would all have something to do", lambda queue: queue.wanted),
    "leases": ("Leases of executors", lambda queue: queue.leases),
    "slots": ("Slots of nodes that serve it", lambda queue: queue.slots),
    "free_slots": ("Slots that serve nobody, and may", lambda queue: queue.free),
    "nodes": ("Nodes that serve it", lambda queue: queue.nodes),
}

_SERVER_GAUGES: Final[Mapping[str, tuple[str, Callable[[ClusterReport], float]]]] = {
    "memory_used_bytes": ("Memory of the server", lambda report: report.memory_used),
    "memory_limit_bytes": ("Its limit, 0 for none", lambda report: report.memory_limit),
    "clients": ("Connections to the server", lambda report: report.clients),
}


class ClusterCollector(Collector):
    """Answers each scrape with one look at the cluster."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """The figures of now; where the server does not answer, only that."""
        try:
            with self._lock:
                report, totals = self._observer.look(), self._observer.totals()
        except ClusterError:
            yield GaugeMetricFamily("distexec_up", "Whether the server answers", 0)
            return
        yield GaugeMetricFamily("distexec_up", "Whether the server answers", 1)
        yield from _gauges(report)
        yield from _counts(totals)

    def describe(self) -> list[Metric]:
        """Nothing: who registers a collector need not reach the cluster."""
        return []


def serve(observer: Observer, host: str, port: int) -> tuple[WSGIServer, threading.Thread]:
    """Answer ``GET /metrics`` on a thread of its own.

    Raises:
        OSError: The port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(ClusterCollector(observer))
    return start_http_server(port, host, registry)


def _gauges(report: ClusterReport) -> Iterator[Metric]:
    for name, (text, read) in _SERVER_GAUGES.items():
        yield GaugeMetricFamily(f"distexec_server_{name}", text, read(report))
    states = Counter(node.state for node in report.nodes)
    nodes = GaugeMetricFamily("distexec_nodes", "Nodes that beat", labels=["state"])
    for state in ("serving", "draining", "unknown"):
        nodes.add_metric([state], states[state])
    yield nodes
    slots = sum(node.slots for node in report.nodes)
    yield GaugeMetricFamily("distexec_slots", "Slots of all nodes", slots)
    busy = sum(node.busy for node in report.nodes)
    yield GaugeMetricFamily("distexec_busy_slots", "Slots that serve an executor", busy)
    for name, (text, read) in _QUEUE_GAUGES.items():
        gauge = GaugeMetricFamily(f"distexec_queue_{name}", text, labels=["queue"])
        for queue in report.queues:
            gauge.add_metric([queue.name], read(queue))
        yield gauge


def _counts(totals: Mapping[str, int]) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "distexec_calls", "Calls that were settled, by outcome", labels=["outcome"]
    )
    for outcome in ("done", "failed", "cancelled"):
        calls.add_metric([outcome], totals.get(outcome, 0))
    yield calls
    for name, text in (
        ("retried", "Attempts after the first, of calls that failed or were lost"),
        ("lost", "Attempts that ended with their worker"),
    ):
        yield CounterMetricFamily(f"distexec_calls_{name}", text, totals.get(name, 0))
    throttled = totals.get("throttled", 0) / 1000
    text = "Seconds in which callers were slowed down since the cluster was full"
    yield CounterMetricFamily("distexec_throttled_seconds", text, throttled)
    yield _histogram("distexec_call_duration_seconds", "Time in the function", "run", totals)
    yield _histogram("distexec_call_wait_seconds", "Time from submit to start", "wait", totals)
    text = "Time from submit until a rate or concurrency limit let a call go"
    yield _histogram("distexec_limit_wait_seconds", text, "limit_wait", totals)


def _histogram(name: str, text: str, total: str, totals: Mapping[str, int]) -> Metric:
    words = from_counts(total, totals)
    buckets = [(str(bound(index)), float(sum(words[: index + 1]))) for index in _BOUNDS]
    buckets.append(("+Inf", float(sum(words[:BUCKETS]))))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=words[BUCKETS] / 1e6)
