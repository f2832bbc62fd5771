"""What Prometheus reads of a real cluster."""

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

import distexec
from conftest import eventually
from distexec.engine.local import LocalCluster
from distexec.monitor.metrics import ClusterCollector
from distexec.monitor.observer import Observer

#: All that figures are told apart by: none of it grows with the number of calls or callers.
LABELS = {"outcome", "queue", "state", "le"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster with one node of two slots."""
    with LocalCluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def page(cluster: LocalCluster) -> Iterator[str]:
    """Where `distexec metrics` answers."""
    with subprocess.Popen(
        [sys.executable, "-m", "distexec", "metrics", "--cluster", cluster.url, "--port", "0"],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


def scrape(page: str) -> dict[str, float]:
    """Every sample by name and labels, in the form in which Prometheus writes them."""
    with urllib.request.urlopen(page, timeout=20) as answer:
        text = answer.read().decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("distexec_")
        assert family.documentation
        for sample in family.samples:
            assert set(sample.labels) <= LABELS
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            samples[f"{sample.name}{{{labels}}}"] = sample.value
    return samples


def refuse(number: int) -> None:
    raise ValueError(number)


def test_calls_are_counted_by_outcome_when_their_callers_are_gone(
    cluster: LocalCluster, page: str
) -> None:
    """A program that lives for a second must not be missed by who looks twice a minute."""
    before = eventually(lambda: scrape(page))
    with distexec.DistributedExecutor(2, cluster=cluster, threads=False) as executor:
        limited = executor.options(rate_limit="1000/s")
        for number in range(20):
            limited.submit(abs, number).result(30)
        for number in range(3):
            with pytest.raises(ValueError, match=str(number)):
                executor.submit(refuse, number).result(30)
        nowhere = executor.options(queue="nowhere").submit(abs, -1)
        assert eventually(lambda: scrape(page).get("distexec_queue_depth{queue=nowhere}")) == 1
        assert nowhere.cancel()

    def has_grown() -> dict[str, float]:
        now = scrape(page)
        grown = {name: value - before.get(name, 0) for name, value in now.items()}
        assert grown["distexec_calls_total{outcome=done}"] == 20
        assert grown["distexec_calls_total{outcome=failed}"] == 3
        assert grown["distexec_calls_total{outcome=cancelled}"] == 1
        assert grown["distexec_call_duration_seconds_count{}"] == 23
        assert grown["distexec_call_wait_seconds_count{}"] == 23
        assert grown["distexec_limit_wait_seconds_count{}"] == 20
        return now

    figures = eventually(has_grown, 20)
    assert figures["distexec_up{}"] == 1
    assert figures["distexec_nodes{state=serving}"] == 1
    assert figures["distexec_queue_slots{queue=distexec}"] == 2
    assert "distexec_call_duration_seconds_bucket{le=1.0}" in figures
    assert figures["distexec_call_duration_seconds_sum{}"] < 60
    assert "distexec_queue_depth{queue=nowhere}" not in figures


def test_server_that_is_away_is_a_figure_too() -> None:
    """An alarm needs a value: a scrape that fails could be the network's."""
    with Observer("redis://127.0.0.1:1") as observer:
        (up,) = ClusterCollector(observer).collect()

    assert [sample.value for sample in up.samples] == [0]
