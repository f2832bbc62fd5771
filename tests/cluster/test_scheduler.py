"""`distexec.Scheduler`: the policy for people who send their work themselves."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

import distexec
from bad_inputs.conftest import start_server
from conftest import eventually
from distexec.scheduler import Choice

from . import deeds
from .rig import NodeProcess, RealCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    folder = tmp_path_factory.mktemp("scheduler")
    with pytest.MonkeyPatch.context() as patch, start_server(folder) as server:
        cluster = RealCluster(server, folder)
        patch.setenv("DISTEXEC_SECRET", cluster.secret_text)
        try:
            yield cluster
        finally:
            cluster.close()


@pytest.fixture(scope="module")
def nodes(cluster: RealCluster) -> list[NodeProcess]:
    """A node of one slot, and one of three, each with a queue of its own."""
    started = [cluster.start("n1", "small", 1), cluster.start("n2", "large", 3)]
    cluster.ready(*started)
    return started


@pytest.fixture
def scheduler(cluster: RealCluster, nodes: list[NodeProcess]) -> Iterator[distexec.Scheduler]:
    with distexec.Scheduler(cluster.url) as scheduler:
        yield scheduler


def test_work_is_shared_by_what_each_queue_can_do(scheduler: distexec.Scheduler) -> None:
    """As a hand-made balancer would like to: ask for each piece of work, and send it there."""
    # It waits for something: what else this machine does is in no node's way.
    scheduler.learn("resize", "small", 1.0, 0.0)
    scheduler.learn("resize", "large", 1.0, 0.0)

    def is_shared() -> bool:
        chosen = Counter(scheduler.select_queue("resize").queue for _ in range(40))
        return chosen["large"] > chosen["small"] > 0

    eventually(is_shared)  # Not while a node is late with its beats.


def test_what_was_learned_and_what_is_said_decide(scheduler: distexec.Scheduler) -> None:
    """Work that lasts ten times as long in one queue goes to the other one; a wish is a wish."""
    scheduler.learn("encode", "small", 0.5, 0.0)
    scheduler.learn("encode", "large", 5.0, 0.0)

    def choice_while_both_serve() -> Choice | None:
        choice = scheduler.select_queue("encode", priority=distexec.Priority.HIGH)
        return None if "no node serves it" in str(choice) else choice

    choice = eventually(choice_while_both_serve)

    assert choice.queue == "small"
    assert [estimate.queue for estimate in choice.estimates] == ["small", "large"]
    assert "queue small, priority 8" in str(choice)
    assert "large: 5 s" in str(choice)
    assert scheduler.select_queue("encode", queues=["large"]).queue == "large"
    nowhere = scheduler.select_queue("encode", queues=["nowhere"])
    assert "no node serves it" in str(nowhere)


def test_executors_teach_it(cluster: RealCluster, scheduler: distexec.Scheduler) -> None:
    """What they learn of a function is in the cluster, under the function itself."""
    with distexec.ProcessPoolExecutor(1, cluster=cluster.url, queue="large") as executor:
        for _ in range(3):
            executor.submit(deeds.slow_on, "n2").result(timeout=30)

    def known() -> list[str]:
        return [each.function for each in scheduler.statistics().functions]

    assert eventually(known) == ["cluster.deeds.slow_on"]
    (report,) = scheduler.statistics().functions
    assert report.queue == "large"
    assert report.run_seconds > 0.1
    eventually(
        lambda: scheduler.select_queue(deeds.slow_on, queues=["large"]).estimates[0].run > 0.1
    )
    assert scheduler.recommended_batch_size(deeds.slow_on) == 1


def test_tiny_work_is_sent_in_batches(scheduler: distexec.Scheduler) -> None:
    """What is sent costs a tenth of a millisecond, whatever it does; unknown work goes alone."""
    for queue in ("small", "large"):
        for _ in range(20):
            scheduler.learn("add", queue, 10e-6, 10e-6)

    assert scheduler.recommended_batch_size("unheard of") == 1
    assert scheduler.recommended_batch_size("add") > 50


def test_statistics_are_plain_records(scheduler: distexec.Scheduler) -> None:
    """Load, queues, nodes, functions: for a page or a log of yours."""
    statistics = scheduler.statistics()

    assert {queue.name: queue.slots for queue in statistics.cluster.queues} == {
        "small": 1,
        "large": 3,
    }
    assert json.loads(statistics.cluster.to_json())["nodes"][0]["load"]["processors"] > 0
    assert scheduler.should_throttle() == bool(statistics.throttled_by)


@pytest.mark.parametrize("cluster", ["threads", "not a url", 5])
def test_it_needs_a_server(cluster: object) -> None:
    """There is nothing to look at in one process."""
    with pytest.raises(ValueError, match="looks at a server"):
        distexec.Scheduler(cluster)  # type: ignore[arg-type]
